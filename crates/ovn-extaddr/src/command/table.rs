//! Tables for people: aligned columns without lines, so that they can be cut and searched.

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

use super::style::{HEADING, Palette, clean};

/// What is at one place of a table.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    style: Option<Style>,
}

impl Cell {
    pub(super) fn styled(text: &str, style: Style) -> Self {
        Self { text: clean(text).into_owned(), style: Some(style) }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: clean(text.as_ref()).into_owned(), style: None }
    }
}

/// Renders rows under a heading.
pub(super) fn render<const N: usize>(
    palette: Palette,
    heading: [&str; N],
    rows: impl IntoIterator<Item = [Cell; N]>,
) -> String {
    let heading = heading.map(|text| Cell::styled(text, HEADING));
    let rows: Vec<_> = std::iter::once(heading).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].text.width()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(width);
    rows.iter().map(|row| line(palette, row, &widths)).collect()
}

fn line<const N: usize>(palette: Palette, row: &[Cell; N], widths: &[usize; N]) -> String {
    // Nothing follows the last text of a line.
    let end = row.iter().rposition(|cell| !cell.text.is_empty()).unwrap_or_default();
    let mut line = String::new();
    for (place, (cell, width)) in row.iter().zip(widths).enumerate().take(end + 1) {
        line += &cell.style.map_or_else(|| cell.text.clone(), |style| palette.paint(style, &cell.text));
        if place < end {
            line += &" ".repeat(width - cell.text.width() + 2);
        }
    }
    line + "\n"
}
