//! A small transit engine: the documented calls over HTTP, with AES-256-GCM behind them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use aes_gcm::{
    Aes256Gcm, Nonce,
    aead::{Aead, Generate, Key, KeyInit, consts::U12},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::TOKEN;

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// It is answered with this status.
    Status(u16),
    /// It is answered with a redirect to this engine itself.
    Redirect,
    /// The connection is closed without an answer.
    Close,
    /// It is not answered in any useful time.
    Hang,
    /// It is answered with something that is no JSON.
    Nonsense,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) namespace: Option<String>,
}

#[derive(Default)]
struct State {
    keys: BTreeMap<String, Vec<Aes256Gcm>>,
    faults: VecDeque<Fault>,
    seen: Vec<Seen>,
}

/// The engine, listening on this machine.
#[derive(Clone)]
pub(crate) struct TransitEngine {
    pub(crate) address: String,
    state: Arc<Mutex<State>>,
}

impl TransitEngine {
    /// Starts one with the key `clinicx`.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let engine = Self { address, state: Arc::default() };
        engine.rotate("clinicx");
        let serving = engine.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        engine
    }

    /// Adds a version to a key, or makes it.
    pub(crate) fn rotate(&self, key: &str) {
        let cipher = Aes256Gcm::new(&Key::<Aes256Gcm>::try_generate().unwrap());
        self.state.lock().unwrap().keys.entry(key.to_owned()).or_default().push(cipher);
    }

    /// Lets the next requests go wrong.
    pub(crate) fn fail_with(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state.lock().unwrap().faults.extend(faults);
    }

    /// The requests since the last look.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.lock().unwrap().seen)
    }

    async fn serve(self, mut stream: TcpStream) -> Option<()> {
        let (head, body) = read(&mut stream).await?;
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (found, value) = line.split_once(':')?;
                found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let path = head.split(' ').nth(1)?.to_owned();
        let fault = {
            let mut state = self.state.lock().unwrap();
            state.seen.push(Seen { path: path.clone(), namespace: header("x-vault-namespace") });
            state.faults.pop_front()
        };
        let (status, body) = match fault {
            Some(Fault::Close) => return None,
            Some(Fault::Hang) => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                return None;
            }
            Some(Fault::Status(status)) => (status, json!({"errors": ["as the test wants it"]}).to_string()),
            Some(Fault::Redirect) => (307, String::new()),
            Some(Fault::Nonsense) => (200, "<html>hello</html>".to_owned()),
            None if header("x-vault-token").as_deref() != Some(TOKEN) => {
                (403, json!({"errors": ["permission denied"]}).to_string())
            }
            None => match self.answer(&path, &body) {
                Ok(data) => (200, json!({ "data": data }).to_string()),
                Err(status) => (status, json!({"errors": []}).to_string()),
            },
        };
        let location =
            if status == 307 { format!("Location: {}{path}\r\n", self.address) } else { String::new() };
        let answer = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{location}Content-Length: {}\r\nConnection: \
             close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.ok()
    }

    fn answer(&self, path: &str, body: &[u8]) -> Result<Value, u16> {
        let state = self.state.lock().unwrap();
        let (operation, key) =
            path.strip_prefix("/v1/transit/").and_then(|rest| rest.split_once('/')).ok_or(404_u16)?;
        let versions = state.keys.get(key).ok_or(404_u16)?;
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let bytes = |name: &str| {
            body[name].as_str().and_then(|text| BASE64_STANDARD.decode(text).ok()).ok_or(400_u16)
        };
        match operation {
            "keys" => Ok(json!({
                "latest_version": versions.len(), "supports_encryption": true, "derived": false, "name": key,
            })),
            "encrypt" => Ok(json!({ "ciphertext": encrypt(versions, &bytes("plaintext")?) })),
            "decrypt" => {
                let plain = decrypt(versions, body["ciphertext"].as_str().ok_or(400_u16)?).ok_or(400_u16)?;
                Ok(json!({ "plaintext": BASE64_STANDARD.encode(plain) }))
            }
            "rewrap" => {
                let plain = decrypt(versions, body["ciphertext"].as_str().ok_or(400_u16)?).ok_or(400_u16)?;
                Ok(json!({ "ciphertext": encrypt(versions, &plain) }))
            }
            _ => Err(404),
        }
    }
}

fn encrypt(versions: &[Aes256Gcm], plain: &[u8]) -> String {
    let nonce = Nonce::<U12>::try_generate().unwrap();
    let sealed = versions.last().unwrap().encrypt(&nonce, plain).unwrap();
    let bytes = [nonce.as_slice(), &sealed].concat();
    format!("vault:v{}:{}", versions.len(), BASE64_STANDARD.encode(bytes))
}

fn decrypt(versions: &[Aes256Gcm], ciphertext: &str) -> Option<Vec<u8>> {
    let (version, text) = ciphertext.strip_prefix("vault:v")?.split_once(':')?;
    let cipher = versions.get(version.parse::<usize>().ok()?.checked_sub(1)?)?;
    let bytes = BASE64_STANDARD.decode(text).ok()?;
    let (nonce, sealed) = bytes.split_first_chunk::<12>()?;
    cipher.decrypt(&Nonce::<U12>::from(*nonce), sealed).ok()
}

async fn read(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(part.get(..read)?);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes.get(..end)?.to_vec()).ok()?;
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok())
            .unwrap_or(0);
        if bytes.len() >= end + 4 + length {
            return Some((head, bytes.get(end + 4..end + 4 + length)?.to_vec()));
        }
    }
}
