//! The style sheet.

use axum::http::StatusCode;
use axum::response::Response;

use crate::http::response;

const STYLE: &str = include_str!("../../templates/style.css");

pub(super) async fn show() -> Response {
    response(StatusCode::OK, "text/css; charset=utf-8", STYLE)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Texts and their backgrounds, as the style sheet combines them, and the minimum contrast of WCAG 2.2: 4.5 for
    /// text (1.4.3), 3 for signs and borders with a meaning (1.4.11).
    const PAIRS: [(&str, &str, f64); 20] = [
        ("ink", "paper", 4.5),
        ("ink", "card", 4.5),
        ("ink", "field", 4.5),
        ("faint", "paper", 4.5),
        ("faint", "card", 4.5),
        ("link", "paper", 4.5),
        ("link", "card", 4.5),
        ("good", "good-ground", 4.5),
        ("moving", "moving-ground", 4.5),
        ("idle", "idle-ground", 4.5),
        ("bad", "bad-ground", 4.5),
        ("ink", "good-ground", 4.5),
        ("ink", "moving-ground", 4.5),
        ("ink", "idle-ground", 4.5),
        ("ink", "bad-ground", 4.5),
        ("button-ink", "button", 4.5),
        ("edge", "paper", 3.0),
        ("edge", "card", 3.0),
        ("focus", "paper", 3.0),
        ("focus", "card", 3.0),
    ];

    /// The colours of a part of the style sheet, by name.
    fn colours(part: &str) -> BTreeMap<&str, [f64; 3]> {
        let lines = part.lines().filter_map(|line| line.trim().strip_prefix("--")?.strip_suffix(';'));
        let pairs = lines.filter_map(|line| line.split_once(": #"));
        let channel = |hex: &str, at: usize| {
            let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        pairs.map(|(name, hex)| (name, [0, 2, 4].map(|at| channel(hex, at)))).collect()
    }

    /// The contrast of WCAG 2.2, between 1 and 21.
    fn contrast(one: [f64; 3], two: [f64; 3]) -> f64 {
        let luminance = |[r, g, b]: [f64; 3]| 0.2126 * r + 0.7152 * g + 0.0722 * b;
        let (one, two) = (luminance(one), luminance(two));
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    #[test]
    fn text_has_sufficient_contrast_in_both_colour_schemes() {
        let (light, dark) = STYLE.split_once("@media (prefers-color-scheme: dark)").unwrap();
        let light = colours(light);
        let dark = colours(dark.split_once("\n}\n").unwrap().0);
        assert_eq!(light.keys().collect::<Vec<_>>(), dark.keys().collect::<Vec<_>>());
        for (name, colours) in [("light", &light), ("dark", &dark)] {
            for (text, ground, least) in PAIRS {
                let found = contrast(colours[text], colours[ground]);
                assert!(found >= least, "{name}: {text} on {ground} has {found:.2}");
            }
        }
        // The example of the standard: black on white.
        assert!((contrast([0.0; 3], [1.0; 3]) - 21.0).abs() < 1e-9);
    }

    #[test]
    fn colours_are_defined_in_one_place() {
        let (_, rules) = STYLE.rsplit_once("/* Rules */").unwrap();
        assert!(!rules.contains('#'), "a colour outside the lists");
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"), "nothing else is loaded");
    }
}
