//! The crate against a real PostgreSQL.

#[cfg(test)]
mod cancel;
#[cfg(test)]
mod fetch;
#[cfg(test)]
mod find;
#[cfg(test)]
mod folder;
#[cfg(test)]
mod owner;
#[cfg(test)]
mod server;
#[cfg(test)]
mod support;
#[cfg(test)]
mod test_server;
