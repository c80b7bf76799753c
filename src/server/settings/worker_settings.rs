//! What an operator can decide about a worker of an engine. Knows nothing of who uses the settings for what.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use super::error::SettingsError;
use super::host_settings::Settings;
use super::layers::Layers;
use super::origin::Origin;
use super::reader::Reader;
use crate::remote::{self, ClientIdentity, ConnectSettings, Header};
use crate::server::transport::address::Address;

/// An engine that crosswheel can work for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Buildbarn,
    BuildGrid,
    NativeLink,
}

/// Which properties a worker offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announce {
    /// `Arch`, `OSFamily`, and those that the pool was given.
    Declared,
    /// What was found out, too.
    All,
}

/// Everything that can be decided about a worker.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// What it has in common with a server. The rest of it is as by default.
    pub host: Settings,
    pub engine: Engine,
    /// Never empty.
    pub schedulers: Vec<ConnectSettings>,
    pub cas: ConnectSettings,
    pub instance: String,
    /// If it was given one.
    pub name: Option<String>,
    pub announce: Announce,
    pub size_class: u32,
    origins: Vec<(&'static str, Origin)>,
}

impl FromStr for Engine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "buildbarn" => Ok(Self::Buildbarn),
            "buildgrid" => Ok(Self::BuildGrid),
            "nativelink" => Ok(Self::NativeLink),
            _ => Err(format!("`{text}` is none of buildbarn, buildgrid and nativelink")),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Buildbarn => "buildbarn",
            Self::BuildGrid => "buildgrid",
            Self::NativeLink => "nativelink",
        })
    }
}

impl WorkerSettings {
    /// Takes what `layers` say and defaults for the rest.
    ///
    /// # Errors
    /// The first value that cannot be used or is missing, with the place where it was written.
    pub fn resolve(layers: &Layers, default_store: &Path) -> Result<Self, SettingsError> {
        let mut host = Settings::resolve(layers, default_store)?;
        host.listen = Vec::new();
        if layers.get("http-listen").is_none() {
            // Beside a server on the same machine.
            host.http_listen = Some(Address::Tcp("127.0.0.1:8982".into()));
        }
        if layers.get("keep-after-use").is_none() {
            host.keep_after_use = Duration::from_secs(10);
        }
        let mut reader = Reader::new(layers);
        let missing = |name| SettingsError::Missing { name, why: "a worker must know whom it works for" };
        let engine = reader.one("engine", str::parse)?.ok_or_else(|| missing("engine"))?;
        let schedulers = reader.many("scheduler", address)?.filter(|given| !given.is_empty());
        let schedulers = schedulers.ok_or_else(|| missing("scheduler"))?;
        let of_scheduler = Connection {
            headers: headers(&mut reader, layers, "scheduler-header")?,
            ca_file: reader.path("scheduler-ca")?,
            identity: identity(&mut reader, "scheduler-cert", "scheduler-key")?,
        };
        let cas = reader.one("cas", address)?;
        let of_cas = Connection {
            headers: headers(&mut reader, layers, "cas-header")?,
            ca_file: reader.path("cas-ca")?,
            identity: identity(&mut reader, "cas-cert", "cas-key")?,
        };
        let cas = match cas {
            Some(address) => of_cas.to(address),
            // Only BuildGrid has all of it in one place.
            None if engine != Engine::BuildGrid => {
                return Err(SettingsError::Missing {
                    name: "cas",
                    why: "the scheduler of this engine has no blobs",
                });
            }
            None => of_scheduler.clone().to(schedulers[0].clone()),
        };
        let schedulers = schedulers.into_iter().map(|address| of_scheduler.clone().to(address)).collect();
        let settings = Self {
            host,
            engine,
            schedulers,
            cas,
            instance: reader.one("instance", |text| Ok(text.to_owned()))?.unwrap_or_default(),
            name: reader.one("name", name)?,
            announce: reader.one("announce", announce)?.unwrap_or(Announce::Declared),
            size_class: reader.one("size-class", size_class)?.unwrap_or(0),
            origins: reader.origins,
        };
        settings.check(layers)
    }

    /// What only makes sense together: nothing that is said is to come to nothing.
    fn check(self, layers: &Layers) -> Result<Self, SettingsError> {
        let refuse = |name, problem: &str| {
            Err(SettingsError::Value { origin: self.origin(name), problem: problem.to_owned() })
        };
        if layers.get("cas").is_none()
            && let Some(name) = OF_THE_CAS.into_iter().find(|name| layers.get(name).is_some())
        {
            return refuse(name, "there is no `cas`: without one, it is reached as the scheduler is");
        }
        let [scheduler, cas] = [self.schedulers.iter().collect::<Vec<_>>(), vec![&self.cas]];
        for (ends, names) in [(scheduler, ["scheduler-ca", "scheduler-cert"]), (cas, ["cas-ca", "cas-cert"])]
        {
            let plain = ends.iter().any(|end| matches!(end.address, remote::Address::Plain(_)));
            if let Some(name) = names.into_iter().find(|name| plain && layers.get(name).is_some()) {
                return refuse(name, "the address says grpc://, which is without TLS: write grpcs://");
            }
        }
        if self.engine != Engine::Buildbarn && layers.get("size-class").is_some() {
            return refuse("size-class", "only Buildbarn knows sizes of workers");
        }
        if self.host.pools.iter().any(|pool| pool.preference.is_some()) {
            return refuse(
                "pool",
                "which worker is preferred is the scheduler's business: leave `preference` out",
            );
        }
        Ok(self)
    }

    /// Where a setting came from.
    pub(super) fn origin(&self, name: &'static str) -> Origin {
        let given = self.origins.iter().find(|(other, _)| *other == name);
        given.map_or_else(|| self.host.origin(name), |(_, origin)| origin.clone())
    }
}

/// What says how to reach the CAS.
const OF_THE_CAS: [&str; 4] = ["cas-header", "cas-ca", "cas-cert", "cas-key"];

/// How to reach an address, whichever it is.
#[derive(Debug, Clone)]
struct Connection {
    headers: Vec<Header>,
    ca_file: Option<std::path::PathBuf>,
    identity: Option<ClientIdentity>,
}

impl Connection {
    fn to(self, address: remote::Address) -> ConnectSettings {
        let Self { headers, ca_file, identity } = self;
        ConnectSettings { address, headers, ca_file, identity }
    }
}

fn address(text: &str) -> Result<remote::Address, String> {
    text.parse().map_err(|error: remote::InvalidAddress| error.to_string())
}

/// Headers as they are written, or with their value in a file.
fn headers(
    reader: &mut Reader<'_>,
    layers: &Layers,
    name: &'static str,
) -> Result<Vec<Header>, SettingsError> {
    let base = layers.get(name).map(|given| given.base.clone()).unwrap_or_default();
    let header = |text: &str| {
        let from_file = text.split_once("=@");
        let text = match from_file {
            None => text.to_owned(),
            Some((name, file)) => {
                let value = fs_err::read_to_string(base.join(file)).map_err(|error| error.to_string())?;
                format!("{name}={}", value.trim())
            }
        };
        text.parse::<Header>().map_err(|error| error.to_string())
    };
    Ok(reader.many(name, header)?.unwrap_or_default())
}

fn identity(
    reader: &mut Reader<'_>,
    certificate: &'static str,
    key: &'static str,
) -> Result<Option<ClientIdentity>, SettingsError> {
    match (reader.path(certificate)?, reader.path(key)?) {
        (None, None) => Ok(None),
        (Some(certificate_file), Some(key_file)) => Ok(Some(ClientIdentity { certificate_file, key_file })),
        (Some(_), None) => {
            Err(SettingsError::Missing { name: key, why: "a certificate is of no use without its key" })
        }
        (None, Some(_)) => Err(SettingsError::Missing {
            name: certificate,
            why: "a key is of no use without its certificate",
        }),
    }
}

fn name(text: &str) -> Result<String, String> {
    let fits = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if text.is_empty() || text.len() > 100 || !text.chars().all(fits) {
        return Err(format!(
            "`{text}` is no name; it may have letters, digits, `-`, `_` and `.`, 100 at most"
        ));
    }
    Ok(text.to_owned())
}

fn announce(text: &str) -> Result<Announce, String> {
    match text {
        "declared" => Ok(Announce::Declared),
        "all" => Ok(Announce::All),
        _ => Err(format!("`{text}` is neither `declared` nor `all`")),
    }
}

fn size_class(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

#[cfg(test)]
mod tests {
    use super::super::worker_entries::worker_entries;
    use super::*;

    fn resolve(given: &[(&'static str, &str)]) -> Result<WorkerSettings, String> {
        let mut layers = Layers::of(worker_entries());
        for (name, value) in given {
            layers.flag(name, value.lines().map(str::to_owned).collect(), Path::new("/here"));
        }
        WorkerSettings::resolve(&layers, Path::new("/store")).map_err(|error| error.to_string())
    }

    const LEAST: [(&str, &str); 2] = [("engine", "buildgrid"), ("scheduler", "grpc://one:1\ngrpc://two:2")];

    #[test]
    fn a_worker_must_know_whom_it_works_for() {
        assert!(resolve(&[]).unwrap_err().contains("--engine"));
        assert!(resolve(&LEAST[..1]).unwrap_err().contains("--scheduler"));
        let settings = resolve(&LEAST).unwrap();
        assert_eq!(settings.engine, Engine::BuildGrid);
        assert_eq!(settings.schedulers.len(), 2);
        assert_eq!(settings.cas.address, settings.schedulers[0].address);
        assert!(resolve(&[("engine", "bazel"), LEAST[1]]).unwrap_err().contains("none of buildbarn"));
        assert!(resolve(&[LEAST[0], ("scheduler", "http://x")]).is_err());
    }

    #[test]
    fn each_endpoint_has_its_own_certificates_and_headers() {
        let directory = tempfile::tempdir().unwrap();
        let token = directory.path().join("token");
        fs_err::write(&token, "Bearer hunter22\n").unwrap();
        let header = format!("authorization=@{}", token.display());
        let (engine, scheduler) = (LEAST[0], ("scheduler", "grpcs://one:1\ngrpcs://two:2"));
        let settings = resolve(&[
            engine,
            scheduler,
            ("scheduler-header", &header),
            ("scheduler-cert", "worker.pem"),
            ("scheduler-key", "worker.key"),
            ("cas", "grpcs://cas:1"),
            ("cas-ca", "ca.pem"),
        ])
        .unwrap();
        let scheduler = &settings.schedulers[1];
        assert_eq!(scheduler.headers.len(), 1);
        assert_eq!(scheduler.identity.as_ref().unwrap().key_file, Path::new("/here/worker.key"));
        assert!(settings.cas.headers.is_empty() && settings.cas.identity.is_none());
        assert_eq!(settings.cas.ca_file.as_deref(), Some(Path::new("/here/ca.pem")));
        let printed = settings.to_toml();
        assert!(printed.contains("scheduler-cert = \"/here/worker.pem\""), "{printed}");
        assert!(!printed.contains("hunter22") && printed.contains("# scheduler-header"), "{printed}");

        let refused = resolve(&[engine, ("scheduler", "grpc://a:1"), ("scheduler-cert", "a")]).unwrap_err();
        assert!(refused.contains("--scheduler-key"), "{refused}");
        let refused =
            resolve(&[engine, ("scheduler", "grpc://a:1"), ("cas", "grpc://a:1"), ("cas-header", "a=@none")])
                .unwrap_err();
        assert!(refused.contains("none"), "{refused}");
        let refused = resolve(&[
            engine,
            ("scheduler", "grpc://a:1"),
            ("cas", "grpc://a:1"),
            ("cas-header", "te=hunter22"),
        ])
        .unwrap_err();
        assert!(!refused.contains("hunter22"), "{refused}");
    }

    #[test]
    fn nothing_that_is_said_comes_to_nothing() {
        let scheduler = ("scheduler", "grpc://a:1");
        let with = |engine, name: &'static str, value| {
            let cas = (engine != "buildgrid").then_some(("cas", "grpc://b:1"));
            let given = [("engine", engine), scheduler, (name, value)];
            resolve(&given.into_iter().chain(cas).collect::<Vec<_>>())
        };
        for (engine, name, value) in [
            ("buildgrid", "cas-header", "a=b"),
            ("buildgrid", "cas-ca", "ca.pem"),
            ("buildbarn", "cas-ca", "ca.pem"),
            ("buildbarn", "scheduler-ca", "ca.pem"),
            ("buildgrid", "size-class", "2"),
            ("nativelink", "size-class", "0"),
            ("buildbarn", "pool", "a,preference=1"),
        ] {
            let refused = with(engine, name, value).unwrap_err();
            assert!(refused.contains(&format!("--{name}")), "{refused}");
        }
        assert_eq!(with("buildbarn", "size-class", "2").unwrap().size_class, 2);
        for engine in ["buildbarn", "buildgrid", "nativelink"] {
            assert_eq!(with(engine, "instance", "main").unwrap().instance, "main");
        }
    }

    #[test]
    fn what_a_server_alone_has_is_no_setting_of_a_worker() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("worker.toml");
        fs_err::write(&file, "max-queued-actions = 5\n").unwrap();
        let refused = Layers::of(worker_entries()).file(&file).unwrap_err().to_string();
        assert!(refused.contains("max-queued-actions"), "{refused}");
    }

    #[test]
    fn a_file_that_is_no_toml_is_named_without_what_is_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("worker.toml");
        fs_err::write(
            &file,
            "engine = 'buildgrid'\nscheduler-header = [\"authorization=hunter22\"\nname = 5\n",
        )
        .unwrap();
        let refused = Layers::of(worker_entries()).file(&file).unwrap_err();
        let said = format!("{refused} {refused:?}");
        assert!(said.contains("line ") && !said.contains("hunter22"), "{said}");
    }

    #[test]
    fn what_is_printed_can_be_read_again() {
        let [_, scheduler] = LEAST;
        let settings = resolve(&[
            ("engine", "buildbarn"),
            scheduler,
            ("cas", "grpc://b:1"),
            ("name", "w1"),
            ("announce", "all"),
            ("size-class", "3"),
            ("instance", "main/sub"),
            ("pool", "a,slots=2,Pool=x"),
            ("http-listen", "off"),
        ])
        .unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("worker.toml");
        fs_err::write(&file, settings.to_toml()).unwrap();
        let mut layers = Layers::of(worker_entries());
        layers.file(&file).unwrap();
        let again = WorkerSettings::resolve(&layers, Path::new("/other")).unwrap();
        let without_origins = |text: String| {
            let lines: Vec<_> =
                text.lines().map(|line| line.split("  # ").next().unwrap().to_owned()).collect();
            lines.join("\n")
        };
        assert_eq!(without_origins(again.to_toml()), without_origins(settings.to_toml()));
    }
}
