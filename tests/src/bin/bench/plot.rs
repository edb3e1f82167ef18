//! A curve as SVG: x by powers of ten or two, y from nothing.

use std::fmt::Write as _;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 48.0;
const TOP: f64 = 40.0;
const RIGHT: f64 = 24.0;
const COLOURS: [&str; 3] = ["#0b6bcb", "#c2410c", "#15803d"];
const GRID_LINES: u8 = 4;

/// Curves over the same x.
pub(crate) struct Plot {
    pub(crate) title: &'static str,
    pub(crate) x: &'static str,
    pub(crate) y: &'static str,
    pub(crate) curves: Vec<(&'static str, Vec<(f64, f64)>)>,
}

impl Plot {
    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.curves.iter().flat_map(|(_, points)| points.iter().copied())
    }

    pub(crate) fn svg(&self) -> String {
        let highest = self.points().map(|(_, y)| y).fold(f64::MIN_POSITIVE, f64::max) * 1.1;
        let first = self.points().map(|(x, _)| x.log2()).fold(f64::INFINITY, f64::min);
        let last = self.points().map(|(x, _)| x.log2()).fold(first + 1.0, f64::max);
        let across = |x: f64| LEFT + (x.log2() - first) / (last - first) * (WIDTH - LEFT - RIGHT);
        let up = |y: f64| HEIGHT - BOTTOM - y / highest * (HEIGHT - BOTTOM - TOP);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"12\"><rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        );
        // Writing to a String cannot fail.
        let mut text = |x: f64, y: f64, anchor: &str, words: &str| {
            let _ = writeln!(svg, "<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"{anchor}\">{words}</text>");
        };
        text(LEFT, 18.0, "start", self.title);
        text(WIDTH - RIGHT, HEIGHT - 8.0, "end", self.x);
        text(LEFT, TOP - 8.0, "start", self.y);
        for line in 0..=GRID_LINES {
            let y = highest / f64::from(GRID_LINES) * f64::from(line);
            text(LEFT - 8.0, up(y) + 4.0, "end", &format!("{y:.0}"));
        }
        let mut marks: Vec<f64> = self.points().map(|(x, _)| x).collect();
        marks.sort_by(f64::total_cmp);
        marks.dedup();
        for x in marks {
            text(across(x), HEIGHT - BOTTOM + 18.0, "middle", &format!("{x}"));
        }
        for (number, (name, _)) in self.curves.iter().enumerate() {
            text(WIDTH - RIGHT, TOP + 16.0 * number as f64, "end", name);
        }
        for line in 0..=GRID_LINES {
            let y = up(highest / f64::from(GRID_LINES) * f64::from(line));
            let end = WIDTH - RIGHT;
            let _ = writeln!(svg, "<path d=\"M{LEFT} {y:.1}H{end}\" stroke=\"#ddd\"/>");
        }
        for ((_, points), colour) in self.curves.iter().zip(COLOURS.iter().cycle()) {
            let path: Vec<String> =
                points.iter().map(|(x, y)| format!("{:.1},{:.1}", across(*x), up(*y))).collect();
            let path = path.join(" ");
            let _ = writeln!(
                svg,
                "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}
