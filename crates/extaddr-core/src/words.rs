//! Closed sets of words, each with its documentation.

/// Declares a set of words: the enum, the list of all, the word, and its documentation as the help text of an option.
macro_rules! words {
    ($(#[doc = $about:literal])+ $words:ident { $($(#[doc = $doc:literal])+ $name:ident $word:literal,)+ }) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $words {
            $($(#[doc = $doc])+ $name,)+
        }

        impl $words {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Returns its description, a sentence without a full stop.
            pub fn description(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+).trim().trim_end_matches('.'),)+
                }
            }

            /// Returns the word.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }

        impl serde::Serialize for $words {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    };
}

pub(crate) use words;
