//! Tables for people: aligned columns without lines, so that they can be cut and searched.

use anstyle::Style;
use clap::Args;
use unicode_width::UnicodeWidthStr;

use super::style::{HEADING, Palette, clean};

/// The maximum width of a table without `--wide`.
pub(super) const MAX_WIDTH: usize = 100;

/// The minimum width of a column.
const MIN_COLUMN: usize = 8;

/// The number of blanks between columns.
const GAP: usize = 2;

/// A cell of a table.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    style: Option<Style>,
    /// The width of its beginning that is kept while other columns can be cut.
    head: usize,
}

impl Cell {
    pub(super) fn styled(text: &str, style: Style) -> Self {
        Self { text: clean(text).into_owned(), style: Some(style), head: usize::MAX }
    }

    /// Creates a cell with a text that must not be cut, such as an address.
    pub(super) fn whole(text: impl AsRef<str>) -> Self {
        Self::with_head(text, usize::MAX)
    }

    /// Creates a cell with a text whose first `head` columns must not be cut.
    pub(super) fn with_head(text: impl AsRef<str>, head: usize) -> Self {
        Self { head, ..Self::from(text) }
    }

    /// Returns the width that it needs while other columns can be cut.
    fn least(&self) -> usize {
        self.text.width().min(self.head.saturating_add(MIN_COLUMN))
    }

    /// Replaces the middle of a text that is wider than that, after its head if there is room.
    fn cut(&mut self, width: usize) {
        if self.text.width() <= width {
            return;
        }
        let head = if self.least() <= width { self.head } else { 0 };
        let room = width.saturating_sub(head + 1);
        let kept = &self.text[..fitting(&self.text, head + room.div_ceil(2))];
        let starts = self.text.char_indices().map(|(start, _)| start).rev();
        let tail = starts.take_while(|start| self.text[*start..].width() <= room / 2).last();
        let tail = tail.map_or("", |start| &self.text[start..]);
        self.text = format!("{kept}…{tail}");
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: clean(text.as_ref()).into_owned(), style: None, head: 0 }
    }
}

/// Returns the end of the characters that fit into a width together: a sequence may be wider than its characters.
fn fitting(text: &str, room: usize) -> usize {
    let ends = text.char_indices().map(|(start, c)| start + c.len_utf8());
    ends.take_while(|end| text[..*end].width() <= room).last().unwrap_or_default()
}

/// How wide a table may be.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Width {
    /// Show everything, the names of ports in OVN among it; tables may be wider than 100 columns then.
    #[arg(long)]
    wide: bool,
}

impl Width {
    /// Tables that are as wide as their texts.
    pub(super) const UNLIMITED: Self = Self { wide: true };

    pub(super) fn is_wide(self) -> bool {
        self.wide
    }
}

/// Renders rows under a heading. Unless the table is wide, long texts are cut in the middle.
pub(super) fn render<const N: usize>(
    palette: Palette,
    width: Width,
    heading: [&str; N],
    rows: impl IntoIterator<Item = [Cell; N]>,
) -> String {
    let heading = heading.map(|text| Cell::styled(text, HEADING));
    let mut rows: Vec<_> = std::iter::once(heading).chain(rows).collect();
    let measure = |column: usize| rows.iter().map(|row| row[column].text.width()).max().unwrap_or_default();
    let mut widths: [usize; N] = std::array::from_fn(measure);
    if !width.is_wide() {
        let least = |column: usize| rows.iter().map(|row| row[column].least()).max().unwrap_or_default();
        shrink(&mut widths, &std::array::from_fn::<_, N, _>(least));
        shrink(&mut widths, &[MIN_COLUMN; N]);
        for row in &mut rows {
            for (cell, width) in row.iter_mut().zip(widths) {
                cell.cut(width);
            }
        }
    }
    rows.iter().map(|row| line(palette, row, &widths)).collect()
}

/// Shrinks the widest columns to the available width, but none below its minimum.
fn shrink<const N: usize>(widths: &mut [usize; N], least: &[usize; N]) {
    let gaps = GAP * N.saturating_sub(1);
    let mut excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(MAX_WIDTH);
    while excess > 0 {
        let wide = widths.iter_mut().zip(least).filter(|(width, least)| **width > **least);
        let Some((widest, _)) = wide.max_by_key(|(width, _)| **width) else { break };
        *widest -= 1;
        excess -= 1;
    }
}

fn line<const N: usize>(palette: Palette, row: &[Cell; N], widths: &[usize; N]) -> String {
    // Nothing follows the last text of a line.
    let end = row.iter().rposition(|cell| !cell.text.is_empty()).unwrap_or_default();
    let mut line = String::new();
    for (place, (cell, width)) in row.iter().zip(widths).enumerate().take(end + 1) {
        line += &cell.style.map_or_else(|| cell.text.clone(), |style| palette.paint(style, &cell.text));
        if place < end {
            line += &" ".repeat(width.saturating_sub(cell.text.width()) + GAP);
        }
    }
    line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::style::When;

    const PORT: &str = "incus-net1-instance-3d1c6f0a-7a55-4c0e-9b51-6b0c7d1a0001-eth0";

    fn rendered(wide: bool, rows: &[[&str; 6]]) -> String {
        let heading = ["PORT", "WANTED", "INTERNAL", "EXTERNAL", "STATE", "REASON"];
        let rows = rows.iter().map(|row| row.map(Cell::from));
        render(Palette::new(When::Never), Width { wide }, heading, rows)
    }

    fn widest(table: &str) -> usize {
        table.lines().map(UnicodeWidthStr::width).max().unwrap()
    }

    #[test]
    fn fitting_cells_are_not_truncated() {
        let row = [
            "customer-7:frontend-01/eth0",
            "203.0.113.101",
            "10.57.0.11",
            "-",
            "rejected",
            "ambiguous-router",
        ];
        let table = rendered(false, &[row]);
        assert!(row.iter().all(|text| table.contains(text)) && widest(&table) <= MAX_WIDTH, "{table}");
    }

    #[test]
    fn long_cells_are_truncated_in_their_middle_unless_wide() {
        let long =
            [PORT, "2001:db8:1:2:216:3eff:fe11:2233", "fd42:57:1::b, 10.57.0.11", "-", "waiting", "no-port"];
        let odd =
            ["名前".repeat(40), "🐢".repeat(3), String::new(), String::new(), String::new(), String::new()];
        let table = rendered(false, &[long, odd.each_ref().map(String::as_str)]);
        assert!(widest(&table) <= MAX_WIDTH, "{table}");
        assert!(table.contains("incus-net1-") && table.contains("…") && table.contains("1-eth0"), "{table}");
        assert!(table.contains("no-port") && table.contains("waiting"), "{table}");
        assert!(rendered(true, &[long]).contains(PORT));
    }

    #[test]
    fn truncated_cell_uses_its_whole_width() {
        for (text, head, width, expected) in [
            ("abcdefgh", 0, 8, "abcdefgh"),
            ("abcdefgh", 0, 7, "abc…fgh"),
            ("abcdefgh", 0, 6, "abc…gh"),
            ("abcdefgh", 0, 1, "…"),
            ("名前名前", 0, 6, "名…前"),
            ("192.0.2.1 (abcdefgh)", 11, 19, "192.0.2.1 (abcd…gh)"),
            ("192.0.2.1 (abcdefgh)", 11, 10, "192.0…fgh)"),
        ] {
            let mut cell = Cell::with_head(text, head);
            cell.cut(width);
            assert_eq!(cell.text, expected, "{text} {width}");
        }
    }

    /// An emoji sequence is wider than its characters, and a cell that is wider than its column has no gap to compute.
    #[test]
    fn truncated_sequences_of_characters_fit() {
        for width in 1..20 {
            let mut cell = Cell::from("❤\u{fe0f}".repeat(10));
            cell.cut(width);
            assert!(cell.text.width() <= width, "{cell:?} {width}");
        }
        assert!(
            widest(&rendered(false, &[[&"#\u{fe0f}\u{20e3}".repeat(90), "", "", "", "", "x"]])) <= MAX_WIDTH
        );
    }

    #[test]
    fn whole_cells_are_truncated_last() {
        let addresses = ["2001:db8:1:2:3:4:5:6"; 3];
        let cells = |port: &str| {
            let [a, b, c] = addresses.map(Cell::whole);
            [Cell::from(port), a, b, c]
        };
        let heading = ["PORT", "WANTED", "INTERNAL", "EXTERNAL"];
        let table = render(Palette::new(When::Never), Width { wide: false }, heading, [cells(PORT)]);
        assert!(widest(&table) == MAX_WIDTH && table.matches(addresses[0]).count() == 3, "{table}");
    }
}
