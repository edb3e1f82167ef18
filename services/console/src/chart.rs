//! Bars, as geometry: the policy of the page lets no style in, and a script would have to be waited for.

/// Height of the highest bar.
const HIGHEST: u64 = 140;
/// Above the bars, for their numbers.
const HEAD: u64 = 24;
/// Below the bars, for what they stand for.
const FOOT: u64 = 26;
pub(crate) const HEIGHT: u64 = HEAD + HIGHEST + FOOT;
/// Where the bars stand.
pub(crate) const FLOOR: u64 = HEAD + HIGHEST;

/// One bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bar {
    pub(crate) x: u64,
    pub(crate) y: u64,
    pub(crate) width: u64,
    pub(crate) height: u64,
}

impl Bar {
    /// As high as its count is among counts up to `most`; what is there at all can be seen.
    pub(crate) fn new(x: u64, width: u64, count: u64, most: u64) -> Self {
        let share = u128::from(count) * u128::from(HIGHEST) / u128::from(most.max(1));
        let height = (share as u64).clamp(u64::from(count > 0) * 2, HIGHEST);
        Self { x, y: FLOOR - height, width, height }
    }

    pub(crate) fn middle(&self) -> u64 {
        self.x + self.width / 2
    }

    /// The base line of a number that stands on the bar.
    pub(crate) fn top(&self) -> u64 {
        self.y - 6
    }
}

/// A number that fits over a bar; the table has it in full.
pub(crate) fn short(number: u64) -> String {
    match number {
        0..100_000 => crate::words::number(number),
        100_000..1_000_000 => format!("{}k", number / 1000),
        _ => format!("{}.{}M", number / 1_000_000, number / 100_000 % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_on_the_floor_and_the_smallest_is_seen() {
        for (count, most, height) in [(0, 0, 0), (0, 9, 0), (9, 9, HIGHEST), (1, 1_000_000, 2), (5, 10, 70)] {
            let bar = Bar::new(0, 10, count, most);
            assert_eq!((bar.height, bar.y + bar.height), (height, FLOOR), "{count} of {most}");
        }
        assert_eq!(Bar::new(0, 10, u64::MAX, u64::MAX).height, HIGHEST);
    }

    #[test]
    fn numbers_over_bars_are_short() {
        for (number, text) in [(99_999, "99,999"), (123_456, "123k"), (1_250_000, "1.2M")] {
            assert_eq!(short(number), text);
        }
    }
}
