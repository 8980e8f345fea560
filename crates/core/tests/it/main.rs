//! The operations of the module `core` on a real PostgreSQL.

#![expect(clippy::disallowed_methods, reason = "tests make their own ids and read the machine's clock")]

#[cfg(test)]
mod appointment;
#[cfg(test)]
mod appointment_list;
#[cfg(test)]
mod appointment_slot;
#[cfg(test)]
mod appointment_state;
#[cfg(test)]
mod clinic;
#[cfg(test)]
mod patient;
#[cfg(test)]
mod patient_search;
#[cfg(test)]
mod practice;
#[cfg(test)]
mod room;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod service;
#[cfg(test)]
mod shredding;
#[cfg(test)]
mod staff;
#[cfg(test)]
mod tampering;
#[cfg(test)]
mod time_off;
#[cfg(test)]
mod working_hours;
