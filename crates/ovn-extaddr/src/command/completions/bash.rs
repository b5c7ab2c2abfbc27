//! Completion in bash: as clap's, except for words that Readline splits, such as names with a colon.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use clap_complete::engine::complete;
use clap_complete::env::EnvCompleter;

/// The script that bash runs for the word before the cursor.
const SCRIPT: &str = include_str!("ovn-extaddr.bash");

/// The adapter of bash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bash;

impl EnvCompleter for Bash {
    fn name(&self) -> &'static str {
        "bash"
    }

    fn is(&self, name: &str) -> bool {
        name == self.name()
    }

    fn write_registration(
        &self,
        variable: &str,
        name: &str,
        binary: &str,
        completer: &str,
        out: &mut dyn Write,
    ) -> Result<(), io::Error> {
        let script = SCRIPT
            .replace("FUNCTION", &format!("_{}", name.replace('-', "_")))
            .replace("BINARY", binary)
            .replace("COMPLETER", &quoted(completer))
            .replace("VARIABLE", variable);
        out.write_all(script.as_bytes())
    }

    fn write_complete(
        &self,
        command: &mut clap::Command,
        words: Vec<OsString>,
        directory: Option<&Path>,
        out: &mut dyn Write,
    ) -> Result<(), io::Error> {
        // The script passes the words before the cursor.
        let last = words.len().saturating_sub(1);
        let candidates = complete(command, words, last, directory)?;
        let values: Vec<_> =
            candidates.iter().map(|candidate| candidate.get_value().to_string_lossy()).collect();
        // Where a value is expected, options are only offered after a hyphen.
        let is_option = |value: &str| value.starts_with('-');
        let is_mixed =
            values.iter().any(|value| is_option(value)) && !values.iter().all(|value| is_option(value));
        for value in values.iter().filter(|value| !(is_mixed && is_option(value))) {
            writeln!(out, "{value}")?;
        }
        Ok(())
    }
}

/// Quotes a word for the shell: a path may contain any character.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
