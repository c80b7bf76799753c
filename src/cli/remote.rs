//! The flags that name a remote executor. Knows nothing of what is run there.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::build::RemotePlacement;
use crate::deadline::LONGEST_SECONDS;
use crate::remote::{Address, ConnectSettings, Header};

/// Where builds run, if not here.
#[derive(Args)]
#[command(next_help_heading = "Remote execution")]
pub struct RemoteArguments {
    /// Build on the workers of this server of the Remote Execution API: grpc://HOST:PORT, grpcs://HOST:PORT (TLS) or unix:PATH
    #[arg(long, value_name = "ADDRESS", env = "CROSSWHEEL_REMOTE")]
    remote: Option<String>,

    /// Send this header with every request, a token for example; it is never shown. Several in the variable: one per line
    // Checked by ourselves: clap would repeat the value in its complaint, and in its help.
    #[arg(
        long,
        value_name = "NAME=VALUE",
        env = "CROSSWHEEL_REMOTE_HEADER",
        hide_env_values = true,
        value_delimiter = '\n'
    )]
    remote_header: Vec<String>,

    /// The instance of the server (its `instance_name`) [default: none]
    #[arg(long, value_name = "NAME", env = "CROSSWHEEL_REMOTE_INSTANCE")]
    remote_instance: Option<String>,

    /// PEM file of the authorities that sign the server's certificate [default: those of the system]
    #[arg(long, value_name = "FILE", env = "CROSSWHEEL_REMOTE_CA")]
    remote_ca: Option<PathBuf>,

    /// Python on the workers: a command or a path [default: python3.N, of the version of --python]
    #[arg(long, value_name = "PYTHON", env = "CROSSWHEEL_REMOTE_PYTHON")]
    remote_python: Option<String>,

    /// Ask for this platform property beside Arch and OSFamily, or instead of them. Several in the variable: one per line
    #[arg(long, value_name = "NAME=VALUE", env = "CROSSWHEEL_REMOTE_PROPERTY", value_delimiter = '\n')]
    remote_property: Vec<String>,

    /// Seconds for which a server that has gone away is waited for
    #[arg(long, value_name = "SECONDS", default_value_t = 60, env = "CROSSWHEEL_REMOTE_PATIENCE", value_parser = clap::value_parser!(u64).range(..=LONGEST_SECONDS))]
    remote_patience: u64,
}

/// A remote executor.
#[derive(Debug, Clone)]
pub struct Remote {
    pub connection: ConnectSettings,
    pub instance_name: String,
    pub patience: Duration,
    pub placement: RemotePlacement,
}

impl RemoteArguments {
    /// The executor that is meant, if one is.
    pub fn resolve(self) -> Result<Option<Remote>, String> {
        let Some(address) = self.remote.filter(|address| !address.is_empty()) else { return Ok(None) };
        let address: Address = address.parse().map_err(|error| format!("--remote: {error}"))?;
        let header =
            |text: &String| text.parse::<Header>().map_err(|error| format!("--remote-header: {error}"));
        let headers = self.remote_header.iter().filter(|text| !text.is_empty()).map(header);
        let properties = self.remote_property.iter().filter(|text| !text.is_empty()).map(|text| {
            let (name, value) = text
                .split_once('=')
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| format!("--remote-property `{text}` is not of the form NAME=VALUE"))?;
            Ok((name.to_owned(), value.to_owned()))
        });
        Ok(Some(Remote {
            connection: ConnectSettings {
                address,
                headers: headers.collect::<Result<_, String>>()?,
                ca_file: self.remote_ca,
                identity: None,
            },
            instance_name: self.remote_instance.unwrap_or_default(),
            patience: Duration::from_secs(self.remote_patience),
            placement: RemotePlacement {
                python: self.remote_python,
                properties: properties.collect::<Result<_, String>>()?,
            },
        }))
    }
}
