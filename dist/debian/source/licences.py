"""Prints the paragraphs of debian/copyright for vendored crates, by their manifests: licences.py DIRECTORY..."""

import pathlib
import re
import sys

for directory in map(pathlib.Path, sys.argv[1:]):
    text = (directory / "Cargo.toml").read_text()
    package = text.split("[package]", 1)[1].split("\n[", 1)[0]
    found = dict(re.findall(r'^(authors|license|license-file) = (\[[^]]*\]|"[^"]*")', package, re.M))
    authors = re.findall(r'"([^"]*)"', found.get("authors", "")) or ["the authors of " + directory.name]
    licence = found.get("license", found.get("license-file", '""')).strip('"')
    if not licence:
        sys.exit(f"{directory} does not say under which licence it is")
    print(f"\nFiles: vendor/{directory.name}/*")
    print("Copyright: " + "\n ".join(authors))
    print("License: " + licence.replace("/", " or ").replace(" OR ", " or ").replace(" AND ", " and ").replace(" WITH LLVM-exception", " with LLVM exception"))
    print(f" As the files of the crate say, in vendor/{directory.name}.")
