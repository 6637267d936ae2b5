//! Which characters of a stranger's text could drive a terminal, or forge a line.

/// C0, C1, DEL; bidirectional and other format controls (Unicode general category Cf, the common
/// ones); line and paragraph separators; variation selectors and tags.
#[must_use]
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0xad | 0x61c | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f
            | 0xfe00..=0xfe0f | 0xfeff | 0xfff9..=0xfffb | 0xe0000..=0xe0fff)
}
