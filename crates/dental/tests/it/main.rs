//! The operations of the module `dental` on a real PostgreSQL.

#[cfg(test)]
mod anatomy;
#[cfg(test)]
mod catalogue;
#[cfg(test)]
mod chart;
#[cfg(test)]
mod drawing;
#[cfg(test)]
mod history;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod lab;
#[cfg(test)]
mod lost;
#[cfg(test)]
mod notation;
#[cfg(test)]
mod perio;
#[cfg(test)]
mod plan;
#[cfg(test)]
mod practice;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod treatment;
