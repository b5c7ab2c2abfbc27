//! Settings: the part of a case's configuration that decisions depend on.

use std::fmt;
use std::time::Duration;

use extaddr_core::ownership::Owner;
use extaddr_core::policy::Policy;
use extaddr_core::rules::{DefaultTargetRule, Rules};

use super::Cases;
use crate::choices::Choices;
use crate::oracle;

/// What an operator may configure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) policy: Vec<PolicyRule>,
    /// Routers, and prefixes that are allowed there.
    pub(crate) allow: Vec<(&'static str, &'static str)>,
    pub(crate) auto: bool,
    pub(crate) require_target: bool,
    /// In seconds.
    pub(crate) drain: u64,
    /// In seconds.
    pub(crate) hold_down: u64,
}

/// A rule of the policy: globs of names, and the intent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PolicyRule {
    pub(crate) port: Option<&'static str>,
    pub(crate) switch: Option<&'static str>,
    pub(crate) router: Option<&'static str>,
    pub(crate) ipv4: Option<&'static str>,
    pub(crate) ipv6: Option<&'static str>,
}

impl Settings {
    /// Draws settings; most networks have none.
    pub(super) fn draw(c: &mut Choices, cases: Cases) -> Self {
        let mut settings = Self::default();
        if cases == Cases::Timed {
            settings.drain = *c.pick(&[0, 2, 5, 5, 30]);
            settings.hold_down = *c.pick(&[0, 2, 2, 5]);
        }
        if c.one_in(2) {
            return settings;
        }
        settings.policy = (0..c.below(3)).map(|_| PolicyRule::draw(c)).collect();
        let prefixes = ["203.0.113.0/28", "203.0.113.11/32", "2001:db8::/64", "0.0.0.0/0"];
        settings.allow = (0..c.below(3)).map(|_| (c.text(&["*", "r?", "r1"]), c.text(&prefixes))).collect();
        settings.auto = c.one_in(4);
        settings.require_target = c.one_in(4);
        settings
    }

    /// The agent's rules for these settings. Nothing is converted.
    pub(crate) fn rules(&self, owner: &Owner) -> Rules {
        let policy: Vec<_> =
            self.policy.iter().map(|rule| format!("[[rule]]\n{}", rule.lines("\n"))).collect();
        let allow = self.allow.iter().map(|(router, prefix)| {
            toml::from_str(&format!("router = \"{router}\"\nprefixes = [\"{prefix}\"]")).unwrap()
        });
        Rules {
            default_target: DefaultTargetRule::Reject,
            min_source_ports: oracle::MIN_SOURCE_PORTS,
            drain: Duration::from_secs(self.drain),
            hold_down: Duration::from_secs(self.hold_down),
            auto: self.auto,
            require_target: self.require_target,
            policy: Policy::parse(&policy.join("\n")).unwrap(),
            allow: allow.collect(),
            ..Rules::new(owner.clone())
        }
    }

    /// The number of settings that a smaller case may omit.
    pub(super) fn len(&self) -> usize {
        self.policy.len()
            + self.allow.len()
            + usize::from(self.auto)
            + usize::from(self.require_target)
            + usize::from(self.drain > 0)
            + usize::from(self.hold_down > 0)
    }

    /// Removes one of them.
    pub(super) fn remove(&mut self, at: usize) {
        let (policy, allow) = (self.policy.len(), self.allow.len());
        if at < policy {
            self.policy.remove(at);
        } else if at < policy + allow {
            self.allow.remove(at - policy);
        } else {
            let others = [self.auto, self.require_target, self.drain > 0, self.hold_down > 0];
            let mut set = others.iter().enumerate().filter(|(_, is_set)| **is_set).map(|(n, _)| n);
            match set.nth(at - policy - allow) {
                Some(0) => self.auto = false,
                Some(1) => self.require_target = false,
                Some(2) => self.drain = 0,
                _ => self.hold_down = 0,
            }
        }
    }
}

impl PolicyRule {
    fn draw(c: &mut Choices) -> Self {
        let mut rule = Self::default();
        match c.below(4) {
            0 => rule.port = Some(c.text(&["*", "web*", "web1", "web?", "up*"])),
            1 => rule.switch = Some(c.text(&["sw0", "sw*"])),
            2 => rule.router = Some(c.text(&["r0", "r1", "r*"])),
            _ => (rule.port, rule.router) = (Some("web*"), Some(c.text(&["r0", "r1"]))),
        }
        if !c.one_in(4) {
            rule.ipv4 = Some(c.text(&["203.0.113.10", "203.0.113.11", "auto", "none"]));
        }
        if rule.ipv4.is_none() || c.one_in(3) {
            rule.ipv6 = Some(c.text(&["2001:db8::10", "2001:DB8:0::11", "auto", "none"]));
        }
        rule
    }

    /// The rule in the notation of the policy file.
    fn lines(&self, between: &str) -> String {
        let keys = [
            ("port", self.port),
            ("switch", self.switch),
            ("router", self.router),
            ("ipv4", self.ipv4),
            ("ipv6", self.ipv6),
        ];
        let lines = keys.into_iter().filter_map(|(key, value)| Some(format!("{key} = \"{}\"", value?)));
        lines.collect::<Vec<_>>().join(between)
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words: Vec<_> =
            self.policy.iter().map(|rule| format!("policy {{{}}}", rule.lines(", "))).collect();
        words.extend(self.allow.iter().map(|(router, prefix)| format!("allow {prefix} on {router}")));
        words.extend(self.auto.then(|| "auto".to_owned()));
        words.extend(self.require_target.then(|| "require-target".to_owned()));
        words.extend((self.drain > 0).then(|| format!("drain {} s", self.drain)));
        words.extend((self.hold_down > 0).then(|| format!("hold-down {} s", self.hold_down)));
        f.write_str(&if words.is_empty() { "no drain, no hold-down".to_owned() } else { words.join(", ") })
    }
}
