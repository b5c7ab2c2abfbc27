//! Tables for people: aligned columns without lines, so that they can be cut and searched.

use unicode_width::UnicodeWidthStr;

/// Renders rows under a heading.
pub(super) fn render<const N: usize>(
    heading: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let rows: Vec<_> = std::iter::once(heading.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].width()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths);
        let line: String =
            cells.map(|(cell, width)| format!("{cell}{}  ", " ".repeat(width - cell.width()))).collect();
        line.trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}
