//! Cases of properties: a network, and the steps after it. They shrink to the rows and edits that a failure needs, and
//! are printed in words.

mod edits;
mod settings;
mod shrink;

use std::fmt;

use extaddr_core::ownership::Owner;
use proptest::prelude::{ProptestConfig, Rng};
use proptest::strategy::{NewTree, Strategy};
use proptest::test_runner::TestRunner;

pub(crate) use edits::{Edit, Spoil};
pub(crate) use settings::Settings;

use crate::choices::{Arrival, Choices};
use crate::model::{self, Database};
use crate::scenario::{edit, label, network, small_network, spoiling};
use shrink::Shrinking;

/// The number of cases of a run, unless `OVN_EXTADDR_CASES` is set, as in CI.
const CASES: u32 = 100;

/// The most runs for shrinking a failing case; each takes a millisecond.
const MAX_SHRINK_ITERS: u32 = 20_000;

/// A network, and the steps after it.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) start: Database,
    pub(crate) settings: Settings,
    pub(crate) steps: Vec<Step>,
    pub(crate) arrival: Arrival,
}

/// A step.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Others change something, in one transaction.
    Edits(Vec<Edit>),
    /// The agent writes until nothing is left to change.
    Settle,
    /// The operator changes the rules.
    Configure(Settings),
    /// This many seconds pass.
    Pass(u64),
    /// The agent is started again.
    Restart,
}

/// The kinds of cases to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cases {
    /// A network, without steps.
    Network,
    /// Nothing takes time. Everything is edited, including our own rows.
    Still,
    /// Hold-downs and drains take time, in small networks. Nobody edits our own rows.
    Timed,
}

/// The number of cases of a run.
pub(crate) fn count() -> u32 {
    let count = std::env::var("OVN_EXTADDR_CASES").ok();
    count.map_or(CASES, |count| count.parse().expect("OVN_EXTADDR_CASES is a number"))
}

/// The configuration of properties over cases.
pub(crate) fn config() -> ProptestConfig {
    let mut config = ProptestConfig { max_shrink_iters: MAX_SHRINK_ITERS, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = count();
    }
    config
}

/// Draws the case with this number, the same each time.
pub(crate) fn nth(cases: Cases, n: u32) -> Case {
    cases.draw(&mut Choices::with_seed(u64::from(n)))
}

impl Cases {
    fn draw(self, c: &mut Choices) -> Case {
        let still = self == Self::Still;
        let old = still && c.one_in(10);
        let start = if self == Self::Timed { small_network(c) } else { network(c, old) };
        let settings = Settings::draw(c, self);
        let mut case = Case { start, settings, steps: Vec::new(), arrival: Arrival::Random(c.fork()) };
        if self == Self::Network {
            return case;
        }
        let mut database = case.start.clone();
        if c.one_in(2) || !still {
            case.steps.push(Step::Settle);
        }
        for _ in 0..c.below(6) {
            let edits = (0..1 + c.below(4)).flat_map(|_| self.edits(&mut database, c)).collect();
            model::drop_unreferenced_tagged(&mut database);
            case.steps.push(Step::Edits(edits));
            if c.one_in(2) {
                case.steps.push(Step::Settle);
            }
            if c.one_in(8) {
                case.steps.push(Step::Configure(Settings::draw(c, self)));
            }
            if !still {
                case.steps.extend(c.one_in(6).then_some(Step::Restart));
                case.steps.push(Step::Pass(*c.pick(&[0, 1, 1, 2, 3, 7, 20])));
                case.steps.extend(c.one_in(2).then_some(Step::Settle));
            }
        }
        case
    }

    /// Draws an edit, and makes it.
    fn edits(self, database: &mut Database, c: &mut Choices) -> Vec<Edit> {
        /// Intents, forwards and foreign rows.
        const TIMED: [u64; 16] = [0, 1, 2, 4, 5, 6, 7, 7, 7, 8, 10, 10, 10, 11, 12, 13];
        let kind = if self == Self::Still { c.below(20) } else { *c.pick(&TIMED) };
        if kind >= 16 {
            return vec![Edit::Spoil(c.below(4) as usize, spoiling(database, c))];
        }
        let before = database.clone();
        edit(database, &Owner::default(), kind, c);
        edits::between(&before, database)
    }
}

impl Strategy for Cases {
    type Tree = Shrinking;
    type Value = Case;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        Ok(Shrinking::new(self.draw(&mut Choices::with_seed(runner.rng().next_u64()))))
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let old = if self.start.old { ", on a server that is too old for some columns" } else { "" };
        writeln!(f, "the network{old}:")?;
        for ((table, uuid), row) in &self.start.rows {
            let name = label(*uuid);
            writeln!(f, "  {table} {name}: {}", edits::described(row, &name))?;
        }
        writeln!(f, "the configuration:\n  {}", self.settings)?;
        if matches!(self.arrival, Arrival::Random(_)) {
            writeln!(f, "updates arrive in any order and notation")?;
        }
        let nothing = if self.steps.is_empty() { " nothing" } else { "" };
        writeln!(f, "what happens:{nothing}")?;
        for (n, step) in self.steps.iter().enumerate() {
            write!(f, "  {}. ", n + 1)?;
            match step {
                Step::Edits(edits) => {
                    let edits: Vec<_> = edits.iter().map(ToString::to_string).collect();
                    writeln!(f, "others: {}", edits.join("; "))?;
                }
                Step::Settle => writeln!(f, "the agent writes")?,
                Step::Configure(settings) => writeln!(f, "the configuration becomes {settings}")?,
                Step::Pass(seconds) => writeln!(f, "{seconds} s pass")?,
                Step::Restart => writeln!(f, "the agent starts again")?,
            }
        }
        Ok(())
    }
}
