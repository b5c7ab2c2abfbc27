use std::fs;

use clap::Parser;
use extaddr_core::rules::{DefaultTargetRule, PortRangeRule};

use super::*;

/// A command line with nothing but options.
#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// A root directory with these files.
fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

fn read(files: &[(&str, &str)]) -> anyhow::Result<Configuration> {
    Configuration::read(None, root(files).path())
}

fn mistake(text: &str) -> String {
    let root = root(&[(sources::FILE, text)]);
    let error = Configuration::read(None, root.path()).unwrap_err();
    format!("{error:#}").replace(&format!("{}/", root.path().display()), "/")
}

#[test]
fn drop_ins_override_the_file_in_order_and_by_directory() {
    let configuration = read(&[
        ("etc/ovn-extaddr/config.toml", "drain = 1\nowner = \"a\"\nhold-down = 1"),
        ("usr/lib/ovn-extaddr/config.d/10-vendor.toml", "drain = 2\nauto = true"),
        ("usr/lib/ovn-extaddr/config.d/20-masked.toml", "drain = 3"),
        ("run/ovn-extaddr.d/10-vendor.toml", "drain = 4"),
        ("etc/ovn-extaddr/config.d/20-masked.toml", ""),
        ("etc/ovn-extaddr/config.d/05-early.toml", "drain = 5\nhold-down = 5.5"),
        ("etc/ovn-extaddr/config.d/99-other.txt", "this is not read"),
        ("etc/ovn-extaddr/config.d/.#05-early.toml", "nor this, which an editor wrote"),
        (
            "etc/ovn-extaddr/config.d/30-allow.toml",
            "[[allow]]\nrouter = \"*\"\nprefixes = [\"192.0.2.0/24\"]",
        ),
        (
            "etc/ovn-extaddr/config.d/40-allow.toml",
            "[[allow]]\nrouter = \"*\"\nprefixes = [\"192.0.3.0/24\"]",
        ),
    ])
    .unwrap();
    let file = &configuration.file;
    assert_eq!((file.drain, file.auto, file.hold_down), (Some(4), None, Some(5.5)));
    assert_eq!(file.owner.as_deref(), Some("a"));
    assert_eq!(file.allow.len(), 2, "what is allowed is added up");
    let names: Vec<_> = configuration.files.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    assert_eq!(
        names,
        [
            "config.toml",
            "05-early.toml",
            "10-vendor.toml",
            "20-masked.toml",
            "30-allow.toml",
            "40-allow.toml"
        ]
    );
    assert!(configuration.origins["drain"].ends_with("run/ovn-extaddr.d/10-vendor.toml"));
}

#[test]
fn one_form_of_the_ca_option_replaces_the_other() {
    let over = |drop_in| {
        let file = ("etc/ovn-extaddr/config.toml", "ca-cert = \"a\"");
        let file = read(&[file, ("etc/ovn-extaddr/config.d/10-ca.toml", drop_in)]).unwrap().file;
        [file.ca_cert, file.bootstrap_ca_cert].map(|path| path.map(|path| path.display().to_string()))
    };
    let is = |ca: Option<&str>, bootstrap: Option<&str>| [ca, bootstrap].map(|path| path.map(str::to_owned));
    assert_eq!(over("drain = 1"), is(Some("a"), None));
    assert_eq!(over("ca-cert = \"b\""), is(Some("b"), None));
    assert_eq!(over("bootstrap-ca-cert = \"b\""), is(None, Some("b")));
    // Both: `Options::resolve` refuses it.
    assert_eq!(over("ca-cert = \"b\"\nbootstrap-ca-cert = \"c\""), is(Some("b"), Some("c")));
}

#[test]
fn missing_configuration_files_are_accepted() {
    assert!(read(&[]).unwrap().files.is_empty());
}

#[test]
fn explicit_file_is_read_without_drop_ins() {
    let root =
        root(&[("etc/ovn-extaddr/config.d/10-more.toml", "drain = 9"), ("elsewhere.toml", "hold-down = 3")]);
    let named = root.path().join("elsewhere.toml");
    let configuration = Configuration::read(Some(&named), root.path()).unwrap();
    assert_eq!((configuration.file.drain, configuration.file.hold_down), (None, Some(3.0)));
    let missing = root.path().join("no-such.toml");
    assert!(Configuration::read(Some(&missing), root.path()).is_err());
}

#[test]
fn overridden_key_is_not_from_a_file() {
    let root = root(&[("a.toml", "db = \"unix:/a\"\nowner = \"a\"\nca-cert = \"a\"\ndrain = 1")]);
    let file = root.path().join("a.toml").display().to_string();
    let line = ["-", "--config", &file, "--db", "unix:/b", "--bootstrap-ca-cert", "b", "--timeout", "0"];
    let settings = Line::parse_from(line).options.resolve().unwrap();
    assert_eq!(settings.origins.keys().collect::<Vec<_>>(), ["drain", "owner"]);
    assert_eq!((settings.remotes.to_string().as_str(), settings.timeout), ("unix:/b", None));
}

#[test]
fn configuration_error_names_line_and_suggestion() {
    let file = "/etc/ovn-extaddr/config.toml";
    assert_eq!(
        mistake("drain = 1\n\ndrian = 3"),
        format!("{file}:3: unknown key drian; did you mean drain?")
    );
    assert!(mistake("colour = 1").starts_with(&format!("{file}:1: unknown key colour; known are ")));
    let allow = mistake("drain = 1\n[[allow]]\nrouter = \"*\"\nprefixs = []");
    assert_eq!(allow, format!("{file}:4: unknown key prefixs; did you mean prefixes?"));
    for (text, part) in [
        ("drain = \"soon\"", ":1: invalid type"),
        ("drain = ", ":1: "),
        ("drain = 1\ndrain = 2", ":2: duplicate key"),
        ("log-level = \"loud\"", "\"loud\" is not a level"),
        ("metrics = \"somewhere\"", "neither ADDRESS:PORT nor unix:PATH"),
        ("status-page = \"on\"", "expected one of `off`, `local`, `any`"),
        ("default-target = \"ignore\"", ":1: "),
        ("port-range = \"5-1\"", ":1: "),
    ] {
        let found = mistake(text);
        assert!(found.starts_with(file) && found.contains(part) && !found.contains('\n'), "{text}: {found}");
    }
}

/// A program that empties the file before it writes, or cannot write, must not withdraw every intent.
#[test]
fn empty_policy_file_is_an_error() {
    let policy = tempfile::NamedTempFile::new().unwrap();
    let error = read_policy(policy.path()).unwrap_err().to_string();
    assert!(error.contains("is empty"), "{error}");
    fs::write(policy.path(), "# none\n").unwrap();
    assert!(read_policy(policy.path()).unwrap().is_empty());
}

#[test]
fn rules_of_the_configuration_are_in_force() {
    let text = "
        port-range = \"2000-2999\"
        min-source-ports = 100
        default-target = \"reject\"
        exemptions = \"ignore\"
        drain = 7
        hold-down = 1.5
        auto = true
        require-target = true
        [[allow]]
        router = \"edge-*\"
        prefixes = [\"192.0.2.0/24\"]
    ";
    let root = root(&[("config.toml", text)]);
    let path = root.path().join("config.toml");
    let line = Line::parse_from(["ovn-extaddr".as_ref(), "--config".as_ref(), path.as_os_str()]);
    let rules = line.options.resolve().unwrap().rules;
    assert_eq!(rules.port_range, PortRangeRule::Fixed("2000-2999".parse().unwrap()));
    assert_eq!(rules.min_source_ports, 100);
    assert_eq!(rules.default_target, DefaultTargetRule::Reject);
    assert_eq!((rules.drain, rules.hold_down), (Duration::from_secs(7), Duration::from_millis(1_500)));
    assert!(rules.auto && rules.require_target);
    assert_eq!(rules.allow.len(), 1);
}
