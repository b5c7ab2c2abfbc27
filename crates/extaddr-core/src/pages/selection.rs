//! The first of many names in alphabetical order; no more than necessary are kept.

use std::collections::BTreeSet;
use std::sync::Arc;

/// The first names after a given one.
#[derive(Debug)]
pub(super) struct Selection {
    after: Option<Arc<str>>,
    limit: usize,
    /// One more than the limit, to know whether there are more.
    kept: BTreeSet<Arc<str>>,
}

impl Selection {
    pub(super) fn new(after: Option<Arc<str>>, limit: usize) -> Self {
        Self { after, limit, kept: BTreeSet::new() }
    }

    /// Returns whether a name would be kept.
    pub(super) fn admits(&self, name: &str) -> bool {
        self.after.as_deref().is_none_or(|after| name > after)
            && (self.kept.len() <= self.limit || self.kept.last().is_some_and(|last| name < &**last))
    }

    /// Keeps a name if it is among the first. A repeated name counts once.
    pub(super) fn offer(&mut self, name: &Arc<str>) {
        if self.admits(name) && self.kept.insert(Arc::clone(name)) && self.kept.len() > self.limit + 1 {
            self.kept.pop_last();
        }
    }

    /// Forgets all names.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }

    /// Returns the names in order, and whether there are more.
    pub(super) fn take(&mut self) -> (Vec<Arc<str>>, bool) {
        let mut kept: Vec<_> = std::mem::take(&mut self.kept).into_iter().collect();
        let has_more = kept.len() > self.limit;
        kept.truncate(self.limit);
        (kept, has_more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selection_keeps_the_first_names_after_a_position() {
        let names = ["d", "a", "e", "c", "b", "c"];
        for (after, limit, expected, more) in [
            (None, 2, "a b", true),
            (None, 5, "a b c d e", false),
            (None, 9, "a b c d e", false),
            (Some("b"), 2, "c d", true),
            (Some("b"), 3, "c d e", false),
            (Some("bb"), 1, "c", true),
            (Some("e"), 3, "", false),
        ] {
            let mut selection = Selection::new(after.map(Arc::from), limit);
            names.iter().for_each(|name| selection.offer(&Arc::from(*name)));
            assert!(selection.kept.len() <= limit + 1);
            let (kept, has_more) = selection.take();
            assert_eq!((kept.join(" ").as_str(), has_more), (expected, more), "{after:?} {limit}");
        }
    }
}
