//! The length of the prefix of a JSON string that contains no escape, quote or control character. Hot path.

/// Eight bytes at a time: most texts are too short to justify calling [`memchr`](https://docs.rs/memchr), which does
/// not find control characters either.
const WORD: usize = size_of::<u64>();

/// Returns the number of bytes before the first quote, backslash or control character; the length of `bytes` if there is
/// none.
///
/// It is not inlined: its callers have more live values than there are registers.
#[inline(never)]
pub(crate) fn unescaped_prefix_len(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((word, after)) = rest.split_first_chunk::<WORD>() {
        let special = special(u64::from_le_bytes(*word));
        if special != 0 {
            return bytes.len() - rest.len() + special.trailing_zeros() as usize / 8;
        }
        rest = after;
    }
    let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    bytes.len() - rest.len() + rest.iter().position(ends).unwrap_or(rest.len())
}

/// Returns a word whose lowest set bit is the highest bit of the lowest special byte; 0 if no byte is special.
fn special(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; WORD]);
    const HIGHEST: u64 = ONES << 7;
    // A byte that is less than the subtrahend borrows, which sets its highest bit. That may produce false positives in
    // higher bytes, but never in lower ones.
    let less = |word: u64, than: u8| word.wrapping_sub(ONES * u64::from(than));
    // One comparison finds control characters and quotes. With that bit flipped, which a quote has beyond a blank, a
    // quote is a blank, a blank is above it, and control characters are below it as before.
    let control_or_quote = less(word ^ (ONES * u64::from(b'"' ^ b' ')), b' ' + 1);
    let backslash = less(word ^ (ONES * u64::from(b'\\')), 1);
    (control_or_quote | backslash) & !word & HIGHEST
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slowly(bytes: &[u8]) -> usize {
        bytes.iter().take_while(|byte| **byte >= 0x20 && !b"\"\\".contains(byte)).count()
    }

    #[test]
    fn every_byte_is_classified_at_every_offset() {
        for byte in 0..=u8::MAX {
            for place in 0..20 {
                for around in [b'a', 0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                    let mut bytes = [around; 20];
                    bytes[place] = byte;
                    assert_eq!(
                        unescaped_prefix_len(&bytes),
                        slowly(&bytes),
                        "{byte:#x} at {place} among {around:#x}"
                    );
                }
            }
        }
    }

    proptest! {
        #[test]
        fn unescaped_prefix_agrees_with_a_plain_loop(bytes: Vec<u8>, texts in "[ -~é😀]{0,40}") {
            prop_assert_eq!(unescaped_prefix_len(&bytes), slowly(&bytes));
            prop_assert_eq!(unescaped_prefix_len(texts.as_bytes()), slowly(texts.as_bytes()));
        }
    }
}
