//! Bars as SVG geometry: the page's policy forbids inline styles, and a script would draw them late. A bar is an SVG of
//! its own, stretched to its column, so that a chart fits any window and its numbers are text.

/// The height of the highest bar, in the units of its SVG.
pub(crate) const HIGHEST: u64 = 100;

/// How high a bar is among counts up to `most`; what is there at all can be seen.
pub(crate) fn height(count: u64, most: u64) -> u64 {
    let share = u128::from(count) * u128::from(HIGHEST) / u128::from(most.max(1));
    (share as u64).clamp(u64::from(count > 0) * 2, HIGHEST)
}

/// A number that fits over a bar; its label has it in full.
pub(crate) fn short(number: u64) -> String {
    match number {
        0..10_000 => number.to_string(),
        10_000..1_000_000 => format!("{}k", number / 1000),
        _ => format!("{}.{}M", number / 1_000_000, number / 100_000 % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_bar_is_seen() {
        for (count, most, expected) in [(0, 0, 0), (0, 9, 0), (9, 9, 100), (1, 1_000_000, 2), (5, 10, 50)] {
            assert_eq!(height(count, most), expected, "{count} of {most}");
        }
        assert_eq!(height(u64::MAX, u64::MAX), HIGHEST);
    }

    #[test]
    fn numbers_over_bars_are_short() {
        for (number, text) in [(9_999, "9999"), (123_456, "123k"), (1_250_000, "1.2M")] {
            assert_eq!(short(number), text);
        }
    }
}
