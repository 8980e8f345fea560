//! Where a server answers.

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    os::unix::{ffi::OsStrExt as _, net::UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

/// The port every server of this crate uses; it only names the socket file.
pub(crate) const PORT: u16 = 5432;

/// The socket, port and superuser of a running server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    socket_folder: PathBuf,
    port: u16,
    superuser: String,
}

impl Address {
    pub(crate) fn new(socket_folder: PathBuf, port: u16, superuser: String) -> Self {
        Self { socket_folder, port, superuser }
    }

    /// The folder that holds the socket; the `host` of a connection.
    #[must_use]
    pub fn socket_folder(&self) -> &Path {
        &self.socket_folder
    }

    /// The port; part of the socket's file name.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The name of the database superuser, who needs no password on this socket.
    #[must_use]
    pub fn superuser(&self) -> &str {
        &self.superuser
    }

    /// The URL of a database for a user, for sqlx, libpq and everything that reads the same form.
    #[must_use]
    pub fn url(&self, user: &str, database: &str) -> String {
        format!(
            "postgres://{}@localhost:{}/{}?host={}&sslmode=disable",
            encode(user.as_bytes()),
            self.port,
            encode(database.as_bytes()),
            encode(self.socket_folder.as_os_str().as_bytes()),
        )
    }

    /// The URL of the superuser in the database `postgres`.
    #[must_use]
    pub fn superuser_url(&self) -> String {
        self.url(&self.superuser, "postgres")
    }

    /// Tells whether the server lets the superuser in: one start-up packet, answered by "authenticated".
    pub(crate) fn answers(&self) -> bool {
        self.try_handshake().unwrap_or(false)
    }

    fn try_handshake(&self) -> std::io::Result<bool> {
        let mut stream = UnixStream::connect(self.socket_folder.join(format!(".s.PGSQL.{}", self.port)))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.set_write_timeout(Some(Duration::from_secs(2)))?;
        let body = format!("user\0{}\0database\0postgres\0\0", self.superuser);
        let length = u32::try_from(body.len() + 8).map_err(std::io::Error::other)?;
        let mut packet = length.to_be_bytes().to_vec();
        packet.extend_from_slice(&196_608_u32.to_be_bytes());
        packet.extend_from_slice(body.as_bytes());
        stream.write_all(&packet)?;
        let mut answer = [0_u8; 9];
        stream.read_exact(&mut answer)?;
        // 'R', length 8, code 0: authentication is done.
        let let_in = answer == [b'R', 0, 0, 0, 8, 0, 0, 0, 0];
        stream.write_all(&[b'X', 0, 0, 0, 4])?;
        Ok(let_in)
    }
}

/// Percent-encodes everything but the unreserved characters.
fn encode(bytes: &[u8]) -> String {
    let mut encoded = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            encoded.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_escapes_what_a_url_cannot_hold() {
        let address = Address::new(PathBuf::from("/tmp/a b"), 5432, "postgres".to_owned());
        assert_eq!(
            address.url("o'neil@x", "db/1"),
            "postgres://o%27neil%40x@localhost:5432/db%2F1?host=%2Ftmp%2Fa%20b&sslmode=disable"
        );
    }
}
