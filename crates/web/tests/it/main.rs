//! The kit over HTTP, with a gatekeeper that knows three tokens and a module without a database.

#[cfg(test)]
mod defects;
#[cfg(test)]
mod disclosure;
#[cfg(test)]
mod document;
#[cfg(test)]
mod gatekeeper;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod module;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod wire;
