//! What the serial line tells of the tests.
//!
//! Owns reading libtest's lines and counting them. Invariant: a test counts as what its own line says, and a program
//! as ended only with its end line and an exit code that fits.

use std::fmt::Write as _;

/// The line before the output of a test program: this and its name.
pub(super) const BEGIN: &str = "@@begin";
/// The line behind it: this, its name and its exit code.
pub(super) const END: &str = "@@end";

/// What scenarios go by in the place of a program.
pub(super) const SCENARIOS: &str = "scenarios";

/// What became of the tests of one program.
#[derive(Debug, Default, PartialEq, Eq)]
struct Program {
    name: String,
    passed: u32,
    failed: Vec<String>,
    /// Names and reasons.
    ignored: Vec<(String, String)>,
    exit_code: Option<u8>,
    /// What libtest says of failures.
    failures: String,
    in_failures: bool,
}

/// What became of all tests so far.
#[derive(Debug, Default)]
pub(super) struct Results {
    programs: Vec<Program>,
}

impl Results {
    /// Takes a line of the serial line.
    pub(super) fn take(&mut self, line: &str) {
        // What the firmware wrote may stand before the first line.
        let marked = line.find(BEGIN).or_else(|| line.find(END)).unwrap_or(0);
        let mut words = line[marked..].split_whitespace();
        match words.next() {
            Some(BEGIN) => self.programs.push(Program {
                name: words.next().unwrap_or_default().to_owned(),
                ..Program::default()
            }),
            Some(END) => {
                let (name, code) = (words.next(), words.next().and_then(|code| code.parse().ok()));
                if let Some(program) = self.programs.last_mut()
                    && name == Some(program.name.as_str())
                {
                    program.exit_code = code;
                }
            }
            _ => {
                if let Some(program) = self.programs.last_mut() {
                    program.take(line);
                }
            }
        }
    }

    /// Whether that many programs have ended as their tests did.
    pub(super) fn is_complete(&self, programs: usize) -> bool {
        self.programs.len() == programs
            && self.programs.iter().all(|program| {
                program
                    .exit_code
                    .is_some_and(|code| (code == 0) == program.failed.is_empty())
            })
    }

    pub(super) fn passed(&self) -> u32 {
        self.programs.iter().map(|program| program.passed).sum()
    }

    pub(super) fn has_failed(&self) -> bool {
        self.programs.iter().any(|program| !program.failed.is_empty())
    }

    /// What libtest says of the failures.
    pub(super) fn failures(&self) -> String {
        self.programs
            .iter()
            .map(|program| program.failures.as_str())
            .collect()
    }

    /// Every program's counts, and the reasons of what was ignored, each once.
    pub(super) fn table(&self, kernel: &str) -> String {
        let mut text = format!(
            "kernel {kernel}\n\n  {:<10} {:>6} {:>6} {:>7}\n",
            "program", "passed", "failed", "ignored"
        );
        for program in &self.programs {
            let (failed, ignored) = (program.failed.len(), program.ignored.len());
            let end = if program.exit_code.is_some() {
                ""
            } else {
                "  did not end"
            };
            line(
                &mut text,
                format_args!(
                    "  {:<10} {:>6} {failed:>6} {ignored:>7}{end}",
                    program.name, program.passed
                ),
            );
        }
        for program in &self.programs {
            for name in &program.failed {
                line(&mut text, format_args!("  FAILED  {} {name}", program.name));
            }
            for (name, reason) in &program.ignored {
                line(
                    &mut text,
                    format_args!("  ignored {} {name} {reason}", program.name),
                );
            }
        }
        text
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a String takes everything");
}

impl Program {
    fn take(&mut self, line: &str) {
        self.in_failures |= line.trim_end() == "failures:";
        if self.in_failures {
            self.failures += line;
            self.failures.push('\n');
            return;
        }
        // A message of the kernel may stand before it.
        let Some((name, outcome)) = line
            .rfind("test ")
            .and_then(|start| line[start + "test ".len()..].split_once(" ... "))
        else {
            return;
        };
        let (name, outcome) = (name.trim().to_owned(), outcome.trim());
        match outcome.split_whitespace().next() {
            Some("ok") => self.passed += 1,
            Some("FAILED") => self.failed.push(name),
            Some("ignored") => {
                let reason = outcome.trim_start_matches("ignored").trim();
                self.ignored.push((name, reason.to_owned()));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(lines: &str) -> Results {
        let mut results = Results::default();
        lines.lines().for_each(|line| results.take(line));
        results
    }

    #[test]
    fn tests_count_as_their_lines_say() {
        let results = results(
            "[    2.3] noise of the kernel
\u{1b}c\u{1b}[2J@@begin encap
running 4 tests
test one   ... ok
test two ... ignored (the kernel has no GRE devices)
[    2.4] noise of the kernel test three ... FAILED
test four ... ok

failures:
---- three ----
test three ... FAILED
@@end encap 101
",
        );
        assert_eq!(results.passed(), 2);
        assert!(results.has_failed() && results.is_complete(1) && !results.is_complete(2));
        assert!(results.failures().contains("---- three ----"));
        let table = results.table("6.1");
        assert!(table.contains("encap           2      1       1\n"), "{table}");
        assert!(
            table.contains("ignored encap two (the kernel has no GRE devices)"),
            "{table}"
        );
    }

    #[test]
    fn a_program_that_died_is_no_pass() {
        let died = "@@begin a\ntest one ... ok\n";
        assert!(!results(died).is_complete(1));
        // Its exit code says that something failed, and no line says what.
        assert!(!results(&format!("{died}@@end a 134\n")).is_complete(1));
        assert!(results(&format!("{died}@@end a 0\n")).is_complete(1));
    }
}
