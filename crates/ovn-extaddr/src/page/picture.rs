//! The way from an instance to the outside as a picture: the elements and their positions. Pure.

use extaddr_core::explain::Check;
use extaddr_core::report::Entry;
use extaddr_core::state::State;

use super::intent::Badge;
use super::render::visible;

/// The direction of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Orientation {
    /// From left to right, for wide screens.
    Across,
    /// From top to bottom, for narrow ones.
    Down,
}

/// A picture, in units of the SVG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    /// Distinguishes the titles of several pictures of a page.
    pub(super) id: String,
    pub(super) orientation: Orientation,
    pub(super) width: u32,
    pub(super) height: u32,
    /// Its content, in words.
    pub(super) text: String,
    pub(super) stations: Vec<Station>,
    pub(super) arrows: Vec<Arrow>,
}

/// Something on the way, in a box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Station {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) kind: &'static str,
    /// The text that fits.
    pub(super) label: String,
    pub(super) detail: String,
    /// The complete text, as a tooltip.
    pub(super) whole: String,
    pub(super) is_known: bool,
}

/// The way from a box to the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrow {
    pub(super) from: (u32, u32),
    pub(super) to: (u32, u32),
    /// The points of the arrow's head.
    pub(super) head: String,
    /// Whether packets take that way with the address.
    pub(super) is_open: bool,
}

/// The content of a box.
struct Content {
    kind: &'static str,
    label: String,
    detail: String,
    is_known: bool,
}

/// The dimensions of an orientation.
struct Measures {
    box_width: u32,
    box_height: u32,
    gap: u32,
    /// The number of characters of a label and of a detail that fit into a box.
    label: usize,
    detail: usize,
}

/// The distance of arrows from the boxes, and the size of a head.
const AIR: u32 = 4;
const HEAD: u32 = 8;

/// Room for the lines of the outer boxes.
const MARGIN: u32 = 2;

// ===== impl Orientation =====

impl Orientation {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Across => "across",
            Self::Down => "down",
        }
    }

    fn measures(self) -> Measures {
        match self {
            Self::Across => Measures { box_width: 204, box_height: 84, gap: 36, label: 20, detail: 24 },
            Self::Down => Measures { box_width: 332, box_height: 76, gap: 34, label: 35, detail: 42 },
        }
    }
}

// ===== impl Picture =====

impl Picture {
    /// Draws the way of an intent.
    pub(super) fn new(entry: &Entry, orientation: Orientation, id: &str) -> Self {
        let contents = contents(entry);
        let Measures { box_width, box_height, gap, label, detail } = orientation.measures();
        let step = match orientation {
            Orientation::Across => (box_width + gap, 0),
            Orientation::Down => (0, box_height + gap),
        };
        let count = u32::try_from(contents.len()).unwrap_or_default();
        let corner = |number: u32| (MARGIN + number * step.0, MARGIN + number * step.1);
        let known: Vec<_> = contents.iter().map(|content| content.is_known).collect();
        let text = words(&contents, entry.state);
        let stations = contents.into_iter().zip(0..).map(|(content, number)| {
            let (x, y) = corner(number);
            Station {
                x,
                y,
                width: box_width,
                height: box_height,
                kind: content.kind,
                whole: format!("{}: {} {}", content.kind, content.label, content.detail)
                    .trim_end()
                    .to_owned(),
                label: cut(&content.label, label),
                detail: cut(&content.detail, detail),
                is_known: content.is_known,
            }
        });
        let arrows = (1..count).map(|number| {
            let ((x, y), before) = (corner(number), corner(number - 1));
            // Whatever follows a missing element is not reached.
            let is_open = known.iter().take(number as usize + 1).all(|known| *known);
            match orientation {
                Orientation::Across => {
                    let (middle, end) = (y + box_height / 2, x - AIR);
                    let head = format!(
                        "{end},{middle} {0},{1} {0},{2}",
                        end - HEAD,
                        middle - HEAD / 2,
                        middle + HEAD / 2
                    );
                    let from = (before.0 + box_width + AIR, middle);
                    Arrow { from, to: (end - HEAD, middle), head, is_open }
                }
                Orientation::Down => {
                    let (middle, end) = (x + box_width / 2, y - AIR);
                    let head = format!(
                        "{middle},{end} {1},{0} {2},{0}",
                        end - HEAD,
                        middle - HEAD / 2,
                        middle + HEAD / 2
                    );
                    let from = (middle, before.1 + box_height + AIR);
                    Arrow { from, to: (middle, end - HEAD), head, is_open }
                }
            }
        });
        let last = corner(count.saturating_sub(1));
        Self {
            id: id.to_owned(),
            orientation,
            width: last.0 + box_width + MARGIN,
            height: last.1 + box_height + MARGIN,
            text,
            stations: stations.collect(),
            arrows: arrows.collect(),
        }
    }
}

/// Returns the elements of the way, as far as they are known.
fn contents(entry: &Entry) -> Vec<Content> {
    let named = |kind, name: Option<&str>, missing: &str, detail: String| Content {
        kind,
        label: visible(name.unwrap_or(missing)).into_owned(),
        detail: visible(&detail).into_owned(),
        is_known: name.is_some(),
    };
    let internal = Check::list(&entry.internal);
    let internal = if internal.is_empty() { "no address".to_owned() } else { internal };
    let gateway = entry.gateway_port.as_ref().map_or_else(String::new, |port| format!("by {port}"));
    let ports = entry.port_range.as_ref().map_or_else(String::new, |range| format!("source ports {range}"));
    let external = entry.external.map(|address| address.to_string());
    let forward = match &external {
        Some(address) => named("Forward address", Some(address), "", ports),
        None => Content {
            kind: "Forward address",
            label: visible(&entry.wanted).into_owned(),
            detail: "asked for, not granted".to_owned(),
            is_known: false,
        },
    };
    let address = external.unwrap_or_default();
    let (seen, detail) = match entry.state {
        State::Active | State::Foreign => (address, String::new()),
        State::Pending => (address, "soon".to_owned()),
        State::Contested => (address, "at times".to_owned()),
        State::Draining => ("another address".to_owned(), format!("of old connections {address}")),
        State::Waiting | State::Rejected | State::Conflict => ("another address".to_owned(), String::new()),
    };
    let is_seen = matches!(entry.state, State::Active | State::Foreign);
    vec![
        named("Instance", Some(entry.shown()), "", internal),
        named("Switch", entry.switch.as_deref(), "not known", String::new()),
        named("Router", entry.router.as_deref(), "not known", gateway),
        forward,
        Content { kind: "Outside sees", label: seen, detail, is_known: is_seen },
    ]
}

/// Describes the picture in words.
fn words(contents: &[Content], state: State) -> String {
    let stations = contents.iter().map(|content| {
        let detail = if content.detail.is_empty() { String::new() } else { format!(" ({})", content.detail) };
        format!("{} {}{detail}", content.kind.to_lowercase(), content.label)
    });
    format!("{}: {}", Badge::from(state).word, stations.collect::<Vec<_>>().join(", then "))
}

/// Cuts a long text in the middle: names in OVN often differ at both ends.
fn cut(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let (front, back) = (most.saturating_sub(1).div_ceil(2), most.saturating_sub(1) / 2);
    let front: String = text.chars().take(front).collect();
    let back: String = text.chars().skip(count - back).collect();
    format!("{front}…{back}")
}

#[cfg(test)]
mod tests {
    use extaddr_core::reason::Code;

    use super::*;

    fn entry(state: State) -> Entry {
        Entry {
            port: "incus-net2-instance-3d1c6f0a-9a64-4e0e-8a4e-0d6c7f3b2a11-eth0".to_owned(),
            name: None,
            switch: Some("S".to_owned()),
            router: Some("R".to_owned()),
            family: "ipv4".to_owned(),
            wanted: "203.0.113.10".to_owned(),
            source: "annotation",
            internal: vec!["10.57.0.11".parse().unwrap()],
            external: Some("203.0.113.10".parse().unwrap()),
            state,
            reason: None,
            message: String::new(),
            nat: Vec::new(),
            port_range: Some("1024-65535".to_owned()),
            gateway_port: None,
        }
    }

    fn open(picture: &Picture) -> Vec<bool> {
        picture.arrows.iter().map(|arrow| arrow.is_open).collect()
    }

    #[test]
    fn arrows_are_open_up_to_the_first_unknown_station() {
        let of = |entry: &Entry| open(&Picture::new(entry, Orientation::Across, "0"));
        assert_eq!(of(&entry(State::Active)), [true; 4]);
        assert_eq!(of(&entry(State::Pending)), [true, true, true, false]);
        let refused = Entry { external: None, reason: Some(Code::NotAForward), ..entry(State::Rejected) };
        assert_eq!(of(&refused), [true, true, false, false]);
        let nowhere = Entry { switch: None, router: None, external: None, ..entry(State::Waiting) };
        assert_eq!(of(&nowhere), [false; 4]);
    }

    #[test]
    fn boxes_and_arrows_fit_the_picture_without_touching() {
        for orientation in [Orientation::Across, Orientation::Down] {
            let picture = Picture::new(&entry(State::Active), orientation, "0");
            assert_eq!((picture.stations.len(), picture.arrows.len()), (5, 4));
            for station in &picture.stations {
                assert!(
                    station.x + station.width <= picture.width
                        && station.y + station.height <= picture.height
                );
            }
            for (pair, arrow) in picture.stations.windows(2).zip(&picture.arrows) {
                let (before, after) = (&pair[0], &pair[1]);
                let (from, to) = (arrow.from, arrow.to);
                match orientation {
                    Orientation::Across => {
                        assert!(before.x + before.width < from.0 && from.0 < to.0 && to.0 < after.x);
                        assert!(from.1 == to.1 && before.y < from.1 && from.1 < before.y + before.height);
                    }
                    Orientation::Down => {
                        assert!(before.y + before.height < from.1 && from.1 < to.1 && to.1 < after.y);
                        assert!(from.0 == to.0 && before.x < from.0 && from.0 < before.x + before.width);
                    }
                }
            }
        }
    }

    #[test]
    fn picture_has_a_text_alternative() {
        let named = Entry { name: Some("shop:web1/eth0".to_owned()), ..entry(State::Active) };
        assert_eq!(
            Picture::new(&named, Orientation::Down, "0").text,
            "active: instance shop:web1/eth0 (10.57.0.11), then switch S, then router R, \
             then forward address 203.0.113.10 (source ports 1024-65535), then outside sees 203.0.113.10"
        );
    }

    #[test]
    fn long_label_is_truncated_in_its_middle() {
        for (text, most, expected) in [
            ("abcdef", 6, "abcdef"),
            ("abcdefg", 6, "abc…fg"),
            ("türkis", 3, "t…s"),
            ("abc", 1, "…"),
            ("", 3, ""),
        ] {
            assert_eq!(cut(text, most), expected, "{text} {most}");
        }
        let picture = Picture::new(&entry(State::Active), Orientation::Across, "0");
        assert_eq!(picture.stations[0].label, "incus-net2…2a11-eth0");
        assert!(picture.stations[0].whole.contains("3d1c6f0a-9a64-4e0e-8a4e-0d6c7f3b2a11"));
    }
}
