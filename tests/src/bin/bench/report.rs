//! What was measured: printed as it comes and, with `--report FOLDER`, kept as a page with pictures.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use domain::Clock as _;
use runtime::SystemClock;

use crate::plot::Plot;

/// The page in its folder; the pictures stand beside it.
const PAGE: &str = "bench.md";

/// Everything measured so far.
#[derive(Default)]
pub(crate) struct Report {
    folder: Option<PathBuf>,
    sections: Vec<Section>,
}

struct Section {
    title: String,
    began: Instant,
    took: Duration,
    rows: Vec<(String, String)>,
    plots: Vec<(String, Plot)>,
}

impl Report {
    /// Kept in that folder, if any.
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, sections: Vec::new() }
    }

    /// What follows belongs under this title.
    pub(crate) fn section(&mut self, title: &str) {
        self.end_section();
        say(&format!("\n{title}"));
        let title = title.to_owned();
        let (rows, plots) = (Vec::new(), Vec::new());
        self.sections.push(Section { title, began: Instant::now(), took: Duration::ZERO, rows, plots });
    }

    fn end_section(&mut self) {
        if let Some(last) = self.sections.last_mut() {
            last.took = last.began.elapsed();
        }
    }

    /// A figure.
    pub(crate) fn row(&mut self, what: &str, figure: &str) {
        say(&format!("  {what:<48} {figure}"));
        if let Some(section) = self.sections.last_mut() {
            section.rows.push((what.to_owned(), figure.to_owned()));
        }
    }

    /// The middle and the slow end of so many times.
    pub(crate) fn times(&mut self, what: &str, mut times: Vec<Duration>) {
        times.sort();
        let of =
            |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)].as_secs_f64() * 1000.0;
        self.row(what, &format!("{:.1} ms p50, {:.1} ms p99", of(50), of(99)));
    }

    /// A picture, by the name of its file.
    pub(crate) fn plot(&mut self, file: &str, plot: Plot) {
        if let Some(section) = self.sections.last_mut() {
            section.plots.push((format!("{file}.svg"), plot));
        }
    }

    /// Writes the page, if a folder was given.
    pub(crate) fn write(mut self) {
        self.end_section();
        let Some(folder) = &self.folder else { return };
        std::fs::create_dir_all(folder).expect("the report's folder");
        let write = |file: &str, text: &str| {
            std::fs::write(folder.join(file), text).expect("a file of the report");
        };
        for (file, plot) in self.sections.iter().flat_map(|section| &section.plots) {
            write(file, &plot.svg());
        }
        write(PAGE, &self.page());
        say(&format!("\nWritten: {}", folder.join(PAGE).display()));
    }

    fn page(&self) -> String {
        let mut page = String::from("# Figures\n\nWritten by `make bench`. ");
        page.push_str(
            "Ratios of one run say something; absolute times say as much about the machine as about the program.\n\n",
        );
        for (what, value) in surroundings() {
            // Writing to a String cannot fail.
            let _ = writeln!(page, "- {what}: {value}");
        }
        for section in &self.sections {
            let took = section.took.as_secs();
            let _ = write!(
                page,
                "\n## {}\n\nMeasured in {took} s.\n\n| what | figure |\n|---|---|\n",
                section.title
            );
            for (what, figure) in &section.rows {
                let _ = writeln!(page, "| {} | {} |", what.replace('|', "\\|"), figure.replace('|', "\\|"));
            }
            for (file, plot) in &section.plots {
                let _ = write!(page, "\n![{}]({file})\n", plot.title);
            }
        }
        page
    }
}

/// Machine, versions, commit.
fn surroundings() -> Vec<(&'static str, String)> {
    let processor = first_line(Path::new("/proc/cpuinfo"), "model name");
    let memory = first_line(Path::new("/proc/meminfo"), "MemTotal");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let changed = !printed("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty();
    let commit = printed("git", &["rev-parse", "--short", "HEAD"]);
    vec![
        ("date", SystemClock.now().strftime("%Y-%m-%d").to_string()),
        ("commit", if changed { format!("{commit}, with changes") } else { commit }),
        ("machine", format!("{cores} cores of {processor}, {memory} of memory")),
        ("system", printed("uname", &["-sr"])),
        ("compiler", printed("rustc", &["--version"])),
        ("PostgreSQL", printed("psql", &["--version"])),
    ]
}

fn first_line(file: &Path, word: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(word));
    line.and_then(|line| line.split_once(':')).map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

fn printed(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// A line for whoever waits.
pub(crate) fn say(line: &str) {
    println!("{line}");
}
