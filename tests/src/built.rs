use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

/// A program of the profile this test was built with, by its place in the target directory: `ovn-extaddr`, or
/// `examples/NAME`.
///
/// Cargo does not build another package's programs for a test, so it may be missing or, worse, outdated: the tests
/// would then test an old program. Both are errors.
pub fn built(program: &str) -> Result<PathBuf> {
    // target/debug/deps/it-HASH, or target/release/bench for a program that is not a test -> target/PROFILE
    let test = std::env::current_exe().context("cannot tell where this program is")?;
    let mut profiles = test.ancestors().skip(1).filter(|dir| !dir.ends_with("deps"));
    let binary = profiles.next().context("this program is in no target directory")?.join(program);
    let cure = "run cargo build --workspace --bins --examples first";
    let built = modified(&binary).with_context(|| format!("{} is missing: {cure}", binary.display()))?;

    // Cargo's list of what the binary was built from: "binary: source source ...", a blank in a path as "\\ ".
    let list = fs::read_to_string(binary.with_extension("d")).unwrap_or_default();
    for source in list.lines().next().unwrap_or_default().replace("\\ ", "\0").split(' ').skip(1) {
        let source = PathBuf::from(source.replace('\0', " "));
        if modified(&source).is_ok_and(|changed| changed > built) {
            bail!("{} is newer than {program}: {cure}", source.display());
        }
    }
    Ok(binary)
}

fn modified(path: &Path) -> Result<SystemTime> {
    Ok(fs::metadata(path)?.modified()?)
}
