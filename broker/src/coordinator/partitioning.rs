//! Which partition of `__consumer_offsets` a group lives in: Kafka's rule, so that other tools agree.

/// The absolute value of Java's `String.hashCode` (over UTF-16 units, wrapping) modulo the partitions.
pub fn partition_of(group: &str, partitions: usize) -> usize {
    let hash = group.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    // Kafka takes 0 for the one number that has no absolute value.
    let hash = usize::try_from(hash.checked_abs().unwrap_or(0)).unwrap_or(0);
    hash % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::partition_of;

    #[test]
    fn partition_is_javas_hash_modulo_partitions() {
        // hashCode of "hello" is 99162322, of "group" 98629247, of "" 0.
        assert_eq!(partition_of("hello", 50), 99_162_322 % 50);
        assert_eq!(partition_of("group", 8), 98_629_247 % 8);
        assert_eq!(partition_of("", 8), 0);
        // "polygenelubricants" hashes to -2^31, which has no absolute value.
        assert_eq!(partition_of("polygenelubricants", 8), 0);
        // Supplementary characters count as two units: "\u{1F600}" is D83D DE00.
        assert_eq!(
            partition_of("\u{1F600}", 1_000_000),
            (55_357 * 31 + 56_832) % 1_000_000
        );
    }
}
