// The elements that reach beyond the right edge of the window, or the window that scrolls.
(() => {
  const found = [];
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) found.push(`page ${document.documentElement.scrollWidth} > ${width}`);
  for (const element of document.querySelectorAll("body *")) {
    const box = element.getBoundingClientRect();
    if (box.width > 0 && box.right > width + 0.5) found.push(`${element.tagName}.${element.className} to ${box.right}`);
  }
  return found;
})()
