//! Who may read from which server, and the art of not telling anybody else.
//! Credentials come from URLs, `UV_INDEX_<NAME>_USERNAME`/`_PASSWORD` and `~/.netrc`; they are sent
//! only to the origin (scheme, host, port) they were given for. Knows nothing of HTTP.

use std::path::Path;
use std::sync::LazyLock;

use parking_lot::{Mutex, MutexGuard};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use regex::Regex;
use url::Url;

/// A user name and its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub username: String,
    /// The password; empty when there is none.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login(****)")
    }
}

/// All credentials of this run.
#[derive(Debug, Default)]
pub struct Credentials {
    /// URL prefixes without user information, and the login for what is below them.
    by_prefix: Mutex<Vec<(Url, Login)>>,
    /// Machines of ~/.netrc; none stands for `default`.
    by_host: Vec<(Option<String>, Login)>,
}

impl Credentials {
    /// Credentials that know the netrc file at `path`, if there is one.
    pub fn with_netrc(path: Option<&Path>) -> Self {
        let text = path.and_then(|path| fs_err::read_to_string(path).ok()).unwrap_or_default();
        Self { by_prefix: Mutex::default(), by_host: parse_netrc(&text) }
    }

    /// Remembers `login` for `prefix` and everything else on its origin.
    pub fn add(&self, prefix: &Url, login: Login) {
        let prefix = without_login(prefix);
        let mut known = self.known();
        if !known.iter().any(|(url, existing)| *url == prefix && *existing == login) {
            known.push((prefix, login));
        }
    }

    /// Remembers the user information of `url`, if it has any, and returns the URL without it.
    pub fn absorb(&self, url: &Url) -> Url {
        if !url.username().is_empty() || url.password().is_some() {
            let login = Login {
                username: decode(url.username()),
                password: decode(url.password().unwrap_or_default()),
            };
            self.add(url, login);
        }
        without_login(url)
    }

    /// `url` with the login that was given for this very one, if one was; for other programs.
    pub fn with_login(&self, url: &Url) -> Url {
        let mut with = url.clone();
        let known = self.known();
        if let Some((_, login)) = known.iter().find(|(prefix, _)| prefix == url) {
            let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let password = Some(encode(&login.password)).filter(|password| !password.is_empty());
            // Only URLs without a host refuse, and none of those was given a login.
            let _ = with.set_username(&encode(&login.username));
            let _ = with.set_password(password.as_deref());
        }
        with
    }

    /// The login to send with a request for `url`.
    pub fn for_url(&self, url: &Url) -> Option<Login> {
        let known = self.known();
        let same_origin = known.iter().filter(|(prefix, _)| prefix.origin() == url.origin());
        let closest = same_origin.max_by_key(|(prefix, _)| {
            if url.path().starts_with(prefix.path()) { prefix.path().len() } else { 0 }
        });
        if let Some((_, login)) = closest {
            return Some(login.clone());
        }
        let host = url.host_str()?;
        let for_host = self.by_host.iter().find(|(machine, _)| machine.as_deref() == Some(host));
        let for_any = || self.by_host.iter().find(|(machine, _)| machine.is_none());
        for_host.or_else(for_any).map(|(_, login)| login.clone())
    }

    /// `text` without any password known here and without the user information of any URL.
    pub fn redact(&self, text: &str) -> String {
        let mut text = without_queries(&redact_urls(text));
        for password in self.passwords() {
            text = text.replace(&password, "****");
        }
        text
    }

    fn passwords(&self) -> Vec<String> {
        let known = self.known();
        let logins = known.iter().map(|(_, login)| login).chain(self.by_host.iter().map(|(_, login)| login));
        // Shorter ones would take ordinary words out of messages and protect nobody.
        logins.map(|login| login.password.clone()).filter(|password| password.len() >= 4).collect()
    }

    fn known(&self) -> MutexGuard<'_, Vec<(Url, Login)>> {
        self.by_prefix.lock()
    }
}

/// `text` with the user information of every URL in it replaced.
pub fn redact_urls(text: &str) -> String {
    static USER_INFORMATION: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"([A-Za-z][A-Za-z0-9+.\-]*://)[^/\s?#]+@").expect("the pattern is constant")
    });
    USER_INFORMATION.replace_all(text, "${1}****@").into_owned()
}

/// `text` without what URLs in it have behind a `?`: of links to files that is a signature more often than anything else.
fn without_queries(text: &str) -> String {
    static QUERY: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"(https?://[^\s?#()<>"'`]+)\?[^\s#()<>"'`]+"#).expect("the pattern is constant")
    });
    QUERY.replace_all(text, "${1}?****").into_owned()
}

/// `url` without user information.
pub fn without_login(url: &Url) -> Url {
    let mut url = url.clone();
    if !url.username().is_empty() || url.password().is_some() {
        // Only URLs without a host refuse, and those have no user information.
        let _ = url.set_username("");
        let _ = url.set_password(None);
    }
    url
}

/// Percent-decodes a part of a URL; bytes that are not UTF-8 are replaced.
pub fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The `machine`, `default`, `login` and `password` tokens of a netrc file; macros are skipped.
fn parse_netrc(text: &str) -> Vec<(Option<String>, Login)> {
    let mut entries: Vec<(Option<String>, Login)> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = line.trim();
        if line.starts_with('#') {
            continue;
        }
        let mut tokens = line.split_whitespace();
        while let Some(token) = tokens.next() {
            let empty = Login { username: String::new(), password: String::new() };
            let mut value = || tokens.next().unwrap_or_default().trim_matches('"').to_owned();
            match token {
                "machine" => entries.push((Some(value()), empty)),
                "default" => entries.push((None, empty)),
                "login" => {
                    let value = value();
                    entries.last_mut().into_iter().for_each(|(_, login)| login.username.clone_from(&value));
                }
                "password" => {
                    let value = value();
                    entries.last_mut().into_iter().for_each(|(_, login)| login.password.clone_from(&value));
                }
                // A macro ends at the first empty line.
                "macdef" => {
                    lines.by_ref().take_while(|line| !line.trim().is_empty()).for_each(drop);
                    break;
                }
                _ => {
                    value();
                }
            }
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn what_urls_have_behind_a_question_mark_is_not_told() {
        let said = Credentials::with_netrc(None).redact(
            "error for url (http://u:secret@x.example/a.whl?sig=token#sha256=12) and https://x.example/b?c=d, why?",
        );
        assert_eq!(
            said,
            "error for url (http://****@x.example/a.whl?****#sha256=12) and https://x.example/b?**** why?"
        );
    }

    #[test]
    fn a_login_is_given_only_to_the_origin_it_was_given_for() {
        let credentials = Credentials::default();
        let stripped = credentials.absorb(&url("https://me:p%40ss@one.example/simple/"));
        assert_eq!(stripped.as_str(), "https://one.example/simple/");
        let login = credentials.for_url(&url("https://one.example/files/a.whl")).unwrap();
        assert_eq!((login.username.as_str(), login.password.as_str()), ("me", "p@ss"));
        for other in
            ["https://two.example/simple/", "http://one.example/simple/", "https://one.example:8443/"]
        {
            assert_eq!(credentials.for_url(&url(other)), None, "{other}");
        }
    }

    #[test]
    fn the_closest_prefix_decides_between_two_indexes_on_one_host() {
        let credentials = Credentials::default();
        credentials.absorb(&url("https://a:aaaa@host.example/team-a/"));
        credentials.absorb(&url("https://b:bbbb@host.example/team-b/"));
        let user = |path: &str| credentials.for_url(&url(path)).unwrap().username;
        assert_eq!(user("https://host.example/team-a/x.whl"), "a");
        assert_eq!(user("https://host.example/team-b/x.whl"), "b");
    }

    #[test]
    fn secrets_do_not_survive_in_messages() {
        let credentials = Credentials::default();
        credentials.absorb(&url("https://me:hunter22@one.example/simple/"));
        let text = credentials.redact("GET https://you:other@x.example/a failed; password hunter22");
        assert_eq!(text, "GET https://****@x.example/a failed; password ****");
        assert!(!format!("{credentials:?}").contains("hunter22"));
    }

    #[test]
    fn all_of_a_password_with_an_at_sign_is_replaced() {
        assert_eq!(redact_urls("at https://me:hunter@22@one.example/x@y"), "at https://****@one.example/x@y");
    }

    #[test]
    fn netrc_entries_in_one_or_many_lines_are_read() {
        let text = "# comment\nmachine one.example login me password secret1\nmacdef init\nmachine no\n\n\
                    machine two.example\n  login you\n  password \"secret2\"\ndefault login any password one1\n";
        let credentials = Credentials { by_host: parse_netrc(text), ..Credentials::default() };
        let password = |host: &str| credentials.for_url(&url(host)).unwrap().password;
        assert_eq!(password("https://one.example/"), "secret1");
        assert_eq!(password("https://two.example/"), "secret2");
        assert_eq!(password("https://three.example/"), "one1");
    }

    #[test]
    fn a_percent_sign_and_two_hexadecimal_digits_are_a_byte_and_nothing_else_is() {
        assert_eq!(decode("a%2Bb%2f%C3%A9"), "a+b/\u{e9}");
        assert_eq!(decode("%+f %f %zz %"), "%+f %f %zz %");
        assert_eq!(decode("%ff"), "\u{fffd}");
    }

    proptest! {
        #[test]
        fn any_text_is_a_netrc_file_and_any_text_can_be_decoded(text in ".{0,200}") {
            parse_netrc(&text);
            decode(&text);
        }
    }
}
