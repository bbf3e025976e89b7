//! The servers that meters can name, with their credentials.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};
use kube::config::AuthInfo;
use kube::{Client, Config};
use serde::Deserialize;

use crate::http::HttpServer;
use crate::run::Now;

/// Time limit to open a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// The servers by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Servers {
    /// The servers by the names that meters use.
    pub servers: BTreeMap<String, Connection>,
}

/// The connection to a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Connection {
    /// URL below which the API is, such as `http://prometheus-server.monitoring.svc` or `https://mimir.example/prometheus`.
    pub url: String,
    /// File with a bearer token. It is read again when it changes.
    pub bearer_token_file: Option<PathBuf>,
    /// User name and password.
    pub basic_auth: Option<BasicAuth>,
    /// TLS.
    #[serde(default)]
    pub tls: Tls,
    /// Headers of every request, such as `X-Scope-OrgID` for a tenant of Mimir.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// A user name and a file with the password.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BasicAuth {
    /// File with the user name.
    pub username_file: PathBuf,
    /// File with the password.
    pub password_file: PathBuf,
}

/// The certificates by which a server and the meter identify themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// File with the certificates of the authorities that sign the server's certificate, in PEM. Default: those of the
    /// system.
    pub ca_file: Option<PathBuf>,
    /// File with the meter's certificate in PEM.
    pub cert_file: Option<PathBuf>,
    /// File with the private key of that certificate in PEM.
    pub key_file: Option<PathBuf>,
    /// Name in the server's certificate, if it is not the host of the URL.
    pub server_name: Option<String>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// A file cannot be read.
    #[error("{file} cannot be read")]
    File {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file has another form.
    #[error(
        "{file} is not a configuration of servers: it must be `servers:` with a URL by name, such as `default: {{url: http://prometheus.monitoring.svc}}`"
    )]
    Form {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: serde_yaml::Error,
    },
    /// A name and a URL have another form.
    #[error("'{0}' must be NAME=URL, such as default=http://prometheus.monitoring.svc")]
    NameAndUrl(String),
    /// Two servers have one name.
    #[error("two servers have the name '{0}': give each its own")]
    NamedTwice(String),
    /// There is no server.
    #[error("there is no server: use --prometheus NAME=URL, or --prometheus-config FILE")]
    NoServer,
    /// A value of a server is wrong.
    #[error("server '{name}': {problem}")]
    Server {
        /// Name of the server.
        name: String,
        /// The problem.
        problem: String,
    },
}

impl Servers {
    /// Reads a file in YAML.
    ///
    /// # Errors
    /// When the file cannot be read, or has another form.
    pub fn read(file: &Path) -> Result<Self, ConfigurationError> {
        let text = text_of(file)?;
        serde_yaml::from_str(&text)
            .map_err(|source| ConfigurationError::Form { file: file.to_owned(), source })
    }

    /// Adds a server that needs no credentials, from `NAME=URL`.
    ///
    /// # Errors
    /// When the text has another form, or the name is known.
    pub fn add(&mut self, name_and_url: &str) -> Result<(), ConfigurationError> {
        let parts =
            name_and_url.split_once('=').filter(|(name, url)| !name.is_empty() && url.contains("://"));
        let (name, url) = parts.ok_or_else(|| ConfigurationError::NameAndUrl(name_and_url.to_owned()))?;
        let connection = Connection { url: url.to_owned(), ..Connection::default() };
        match self.servers.insert(name.to_owned(), connection) {
            None => Ok(()),
            Some(_) => Err(ConfigurationError::NamedTwice(name.to_owned())),
        }
    }

    /// Returns the clients of the servers. `now` is the clock of this machine.
    ///
    /// # Errors
    /// When there is no server, a file cannot be read, or a value is wrong.
    pub fn connect(&self, now: &Now) -> Result<BTreeMap<String, HttpServer>, ConfigurationError> {
        if self.servers.is_empty() {
            return Err(ConfigurationError::NoServer);
        }
        let connect = |(name, connection): (&String, &Connection)| {
            let wrong = |problem: String| ConfigurationError::Server { name: name.clone(), problem };
            let client =
                Client::try_from(connection.config(name)?).map_err(|error| wrong(error.to_string()))?;
            Ok((name.clone(), HttpServer::new(client, now.clone())))
        };
        self.servers.iter().map(connect).collect()
    }
}

impl Connection {
    /// Returns the configuration of an HTTP client. The client of Kubernetes speaks to any server.
    fn config(&self, name: &str) -> Result<Config, ConfigurationError> {
        let wrong = |problem: String| ConfigurationError::Server { name: name.to_owned(), problem };
        let url: Uri = self.url.parse().map_err(|_| wrong(format!("'{}' is not a URL", self.url)))?;
        if !matches!(url.scheme_str(), Some("http" | "https")) || url.query().is_some() {
            return Err(wrong(format!(
                "'{}' must begin with http:// or https://, and have no query",
                self.url
            )));
        }
        let mut config = Config::new(url);
        // A query that failed is made again by the next look, with a message in between.
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT);
        config.root_cert_file.clone_from(&self.tls.ca_file);
        config.tls_server_name.clone_from(&self.tls.server_name);
        if self.tls.cert_file.is_some() != self.tls.key_file.is_some() {
            return Err(wrong("`certFile` and `keyFile` belong together: set both or none".to_owned()));
        }
        if self.basic_auth.is_some() && self.bearer_token_file.is_some() {
            return Err(wrong("`basicAuth` and `bearerTokenFile` exclude each other".to_owned()));
        }
        let text = |file: &PathBuf| file.to_string_lossy().into_owned();
        let (username, password) = match &self.basic_auth {
            None => (None, None),
            Some(basic) => {
                let [username, password] =
                    [&basic.username_file, &basic.password_file].map(|file| text_of(file));
                (Some(username?.trim().to_owned()), Some(password?.trim().to_owned().into()))
            }
        };
        config.auth_info = AuthInfo {
            username,
            password,
            token_file: self.bearer_token_file.as_ref().map(text),
            client_certificate: self.tls.cert_file.as_ref().map(text),
            client_key: self.tls.key_file.as_ref().map(text),
            ..AuthInfo::default()
        };
        for (header, value) in &self.headers {
            let wrong = || wrong(format!("'{header}' is not a header with a valid value"));
            let header = HeaderName::from_bytes(header.as_bytes()).map_err(|_| wrong())?;
            config.headers.push((header, HeaderValue::from_str(value).map_err(|_| wrong())?));
        }
        Ok(config)
    }
}

fn text_of(file: &Path) -> Result<String, ConfigurationError> {
    std::fs::read_to_string(file).map_err(|source| ConfigurationError::File { file: file.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_servers_with_their_credentials() {
        let folder = tempfile::tempdir().expect("folder");
        let file = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).expect("written");
            file
        };
        let (user, password) = (file("user", "meter\n"), file("password", "s3cret\n"));
        let text = format!(
            "servers:\n  default:\n    url: https://mimir.example/prometheus\n    basicAuth: {{usernameFile: {}, passwordFile: {}}}\n    \
             headers: {{X-Scope-OrgID: team-a}}\n    tls: {{serverName: mimir}}\n",
            user.display(),
            password.display()
        );
        let mut servers = Servers::read(&file("servers.yaml", &text)).expect("servers");
        servers.add("other=http://127.0.0.1:9090").expect("a server");
        let config = servers.servers["default"].config("default").expect("a configuration");
        assert_eq!(config.cluster_url.to_string(), "https://mimir.example/prometheus");
        assert_eq!(config.auth_info.username.as_deref(), Some("meter"));
        assert_eq!(
            (config.headers[0].0.as_str(), config.tls_server_name.as_deref()),
            ("x-scope-orgid", Some("mimir"))
        );
        assert_eq!(servers.servers["other"].url, "http://127.0.0.1:9090");
    }

    #[test]
    fn a_wrong_configuration_says_what_is_wrong() {
        let connection = |text: &str| serde_yaml::from_str::<Connection>(text).expect("a connection");
        for (text, expected) in [
            ("url: prometheus:9090", "must begin with http:// or https://"),
            ("url: ftp://prometheus", "must begin with http:// or https://"),
            ("{url: 'http://p', tls: {certFile: /c}}", "belong together"),
            (
                "{url: 'http://p', bearerTokenFile: /t, basicAuth: {usernameFile: /u, passwordFile: /p}}",
                "exclude each other",
            ),
            (
                "{url: 'http://p', basicAuth: {usernameFile: /none/u, passwordFile: /p}}",
                "/none/u cannot be read",
            ),
            ("{url: 'http://p', headers: {'X Y': z}}", "'X Y' is not a header"),
        ] {
            let error = connection(text).config("default").expect_err(text).to_string();
            assert!(error.contains(expected), "{error}");
        }
        for text in ["default", "=http://p", "default=p"] {
            let error = Servers::default().add(text).expect_err(text).to_string();
            assert!(error.contains("must be NAME=URL"), "{error}");
        }
        let mut twice = Servers::default();
        twice.add("default=http://p").expect("a server");
        assert!(matches!(twice.add("default=http://q"), Err(ConfigurationError::NamedTwice(_))));
    }
}
