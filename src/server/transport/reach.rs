//! Who can reach an address: this machine, or others. Knows nothing of what is served there.

use std::net::SocketAddr;

use super::address::{Address, ListenError};

/// From where a server may be reached, which knows nobody who calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// By processes of this machine only.
    ThisMachine,
    /// From wherever there is a way: an operator trusts the network.
    Anywhere,
}

/// Makes sure that none of these addresses lets in more than may come.
///
/// # Errors
/// [`ListenError::Public`], and names that lead nowhere.
pub async fn check_exposure(
    addresses: impl IntoIterator<Item = &Address>,
    exposure: Exposure,
) -> Result<(), ListenError> {
    for address in addresses {
        if let Address::Tcp(text) = address {
            resolve(text, exposure).await?;
        }
    }
    Ok(())
}

/// All that `HOST:PORT` stands for, every one of which may be listened on.
pub(super) async fn resolve(text: &str, exposure: Exposure) -> Result<Vec<SocketAddr>, ListenError> {
    let address = || Address::Tcp(text.to_owned());
    let found = tokio::net::lookup_host(text).await;
    let found: Vec<_> = found.map_err(|source| ListenError::Bind { address: address(), source })?.collect();
    let public = found.iter().find(|found| !found.ip().to_canonical().is_loopback());
    match (public, exposure) {
        (Some(public), Exposure::ThisMachine) => {
            Err(ListenError::Public { address: address(), found: public.ip() })
        }
        _ => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_loopback_is_this_machine() {
        for text in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "localhost:1"] {
            assert!(resolve(text, Exposure::ThisMachine).await.is_ok(), "{text}");
        }
        for text in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[2001:db8::1]:1", "[::ffff:192.0.2.1]:1"] {
            let refusal = resolve(text, Exposure::ThisMachine).await.unwrap_err();
            assert!(matches!(refusal, ListenError::Public { .. }), "{text}: {refusal}");
            assert!(resolve(text, Exposure::Anywhere).await.is_ok(), "{text}");
        }
    }
}
