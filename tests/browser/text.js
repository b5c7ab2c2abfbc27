// The texts of pictures that do not fit into their boxes.
(() => {
  const found = [];
  for (const station of document.querySelectorAll("svg .station")) {
    const box = station.querySelector("rect").getBoundingClientRect();
    if (!box.width) continue;
    for (const text of station.querySelectorAll("text")) {
      const place = text.getBoundingClientRect();
      if (place.right > box.right - 2 || place.bottom > box.bottom) found.push(`${text.textContent}: ${place.right} of ${box.right}`);
    }
  }
  return found;
})()
