//! Strings of the wire: checked UTF-8 that borrows the frame it came in.
//!
//! A [`Str`] is a place in shared bytes, so cloning one is a reference count. It is 16 bytes, also as an `Option`:
//! messages are lists of structs of strings, and what a frame may expand to is bounded. It keeps the frame it was
//! read from alive: whoever stores one beyond its request (a group's members, a topic's name) stores
//! [`Str::detached`].

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;
use std::ops::{Deref, Range};
use std::sync::Arc;

use bytes::Bytes;

/// UTF-8 text in shared bytes.
#[derive(Clone)]
pub struct Str {
    /// `None` for the empty text.
    frame: Option<Arc<Bytes>>,
    start: u32,
    /// One past the text, plus one, so that an `Option<Str>` needs no room of its own.
    end: NonZeroU32,
}

impl Str {
    /// Wraps a text of the program itself.
    pub fn from_static(text: &'static str) -> Str {
        Str::whole(Bytes::from_static(text.as_bytes()))
    }

    /// Checks bytes and keeps them, or gives the first mistake in them.
    pub fn from_utf8(bytes: Bytes) -> Result<Str, std::str::Utf8Error> {
        std::str::from_utf8(&bytes)?;
        Ok(Str::whole(bytes))
    }

    /// Checks a part of shared bytes and keeps it; `None` if it is not UTF-8 or lies beyond 4 GiB.
    pub(crate) fn shared(frame: &Arc<Bytes>, range: Range<usize>) -> Option<Str> {
        std::str::from_utf8(&frame[range.clone()]).ok()?;
        let start = u32::try_from(range.start).ok()?;
        let end = u32::try_from(range.end)
            .ok()
            .and_then(|end| NonZeroU32::MIN.checked_add(end))?;
        Some(if range.is_empty() {
            Str::default()
        } else {
            Str {
                frame: Some(Arc::clone(frame)),
                start,
                end,
            }
        })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes())
            .expect("every constructor checked the bytes, and they are immutable")
    }

    /// A copy in memory of its own, which does not keep the frame alive.
    #[must_use]
    pub fn detached(&self) -> Str {
        Str::from(self.as_str())
    }

    fn whole(text: Bytes) -> Str {
        let end = text.len();
        Str::shared(&Arc::new(text), 0..end).expect("made of a text, which is shorter than 4 GiB")
    }

    fn as_bytes(&self) -> &[u8] {
        match &self.frame {
            None => &[],
            Some(frame) => {
                let place = |offset: u32| {
                    usize::try_from(offset).expect("a place in bytes that are in memory")
                };
                &frame[place(self.start)..place(self.end.get() - 1)]
            }
        }
    }
}

impl Default for Str {
    fn default() -> Str {
        Str {
            frame: None,
            start: 0,
            end: NonZeroU32::MIN,
        }
    }
}

impl Deref for Str {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Str {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Str {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl From<String> for Str {
    fn from(text: String) -> Str {
        Str::whole(Bytes::from(text))
    }
}

impl From<&str> for Str {
    fn from(text: &str) -> Str {
        Str::whole(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<Str> for String {
    fn from(text: Str) -> String {
        text.as_str().to_owned()
    }
}

impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

impl PartialEq for Str {
    fn eq(&self, other: &Str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Str {}

impl PartialEq<str> for Str {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Str {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialOrd for Str {
    fn partial_cmp(&self, other: &Str) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Str {
    fn cmp(&self, other: &Str) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Str {
    /// As `str` hashes, so that a map keyed by `Str` is asked with `&str`.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_text_takes_16_bytes_also_as_an_option() {
        assert_eq!(size_of::<Str>(), 16);
        assert_eq!(size_of::<Option<Str>>(), 16);
    }

    #[test]
    fn a_part_of_a_frame_is_read_compared_and_hashed_as_its_text() {
        let frame = Arc::new(Bytes::from_static("x水y".as_bytes()));
        let part = Str::shared(&frame, 1..4).expect("a whole character");
        assert_eq!(part, "水");
        assert_eq!(part, Str::from("水"));
        assert!(part > Str::default());
        assert_eq!(part.detached(), part);
        assert_eq!(HashMap::from([(part, 1)]).get("水"), Some(&1));
        assert_eq!(Str::shared(&frame, 5..5), Some(Str::default()));
        assert_eq!(Str::from(String::new()).as_str(), "");
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        let frame = Arc::new(Bytes::from_static("x水y".as_bytes()));
        assert_eq!(Str::shared(&frame, 2..4), None);
    }

    #[test]
    fn a_detached_text_lets_its_frame_go() {
        let frame = Arc::new(Bytes::from_static(b"topic"));
        let kept = Str::shared(&frame, 0..5).expect("a text").detached();
        assert_eq!(Arc::strong_count(&frame), 1);
        assert_eq!(kept, "topic");
    }
}
