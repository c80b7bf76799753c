//! The table at the end.

use std::time::Duration;

use crate::limits::Limits;

/// One figure of one server.
pub struct Figure {
    pub value: f64,
    /// Processor time of server and client per unit of work, where it can be known.
    pub server_time: Option<Duration>,
    pub client_time: Duration,
}

struct Row {
    name: String,
    unit: &'static str,
    aim: &'static str,
    limit: String,
    figures: Vec<(String, Figure)>,
}

/// Rows of figures, a column for each server.
pub struct Table {
    pub limits: Limits,
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Table {
    pub fn new(limits: Limits) -> Self {
        Self { limits, rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a server's figure to a row, which is made by the first.
    pub fn add(
        &mut self,
        (name, unit, aim): (&str, &'static str, &'static str),
        limit: String,
        server: &str,
        figure: Figure,
    ) {
        eprintln!("  {name}: {} {unit}", number(figure.value));
        let figures = match self.rows.iter_mut().find(|row| row.name == name) {
            Some(row) => &mut row.figures,
            None => {
                self.rows.push(Row { name: name.to_owned(), unit, aim, limit, figures: Vec::new() });
                let last = self.rows.len() - 1;
                &mut self.rows[last].figures
            }
        };
        figures.push((server.to_owned(), figure));
    }

    /// A sentence below the table.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Prints everything as Markdown.
    pub fn print(&self) {
        let mut servers: Vec<&str> = Vec::new();
        for (server, _) in self.rows.iter().flat_map(|row| &row.figures) {
            if !servers.contains(&server.as_str()) {
                servers.push(server);
            }
        }
        let columns: String = servers.iter().map(|server| format!(" {server} |")).collect();
        println!("\n| | unit |{columns} aim | limit of this machine | CPU per unit: server + client |");
        println!("|---|---|{}---|---|---|", "---:|".repeat(servers.len()));
        for row in &self.rows {
            let mut cells = String::new();
            let mut times = Vec::new();
            for server in &servers {
                let Some((_, figure)) = row.figures.iter().find(|(name, _)| name == server) else {
                    cells += " |";
                    continue;
                };
                cells += &format!(" {} |", number(figure.value));
                let server_time = figure.server_time.map_or_else(|| "?".to_owned(), microseconds);
                times.push(format!("{server_time} + {}", microseconds(figure.client_time)));
            }
            println!(
                "| {} | {} |{cells} {} | {} | {} |",
                row.name,
                row.unit,
                row.aim,
                row.limit,
                times.join("; ")
            );
        }
        println!();
        self.notes.iter().for_each(|note| println!("{note}"));
        let limits = &self.limits;
        println!(
            "Limits of one core: SHA-256 {:.0} MB/s, copy {:.0} MB/s, file write {:.0} MB/s, file read {:.0} MB/s, \
             zstd level 1 {:.0} MB/s; fork and exec {:.2} ms, `unshare` with all namespaces {}.",
            limits.sha256_mb_per_s,
            limits.copy_mb_per_s,
            limits.file_write_mb_per_s,
            limits.file_read_mb_per_s,
            limits.zstd_mb_per_s,
            limits.fork_and_exec.as_secs_f64() * 1e3,
            limits
                .fork_exec_namespaces
                .map_or_else(|| "refused".to_owned(), |time| format!("{:.2} ms", time.as_secs_f64() * 1e3)),
        );
    }
}

fn microseconds(time: Duration) -> String {
    let microseconds = time.as_secs_f64() * 1e6;
    if microseconds >= 10.0 { format!("{microseconds:.0} µs") } else { format!("{microseconds:.2} µs") }
}

fn number(value: f64) -> String {
    if value >= 1e6 {
        format!("{:.2} M", value / 1e6)
    } else if value >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}
