//! The operations of the module `billing` on a real PostgreSQL.

#[cfg(test)]
mod charge;
#[cfg(test)]
mod credit_note;
#[cfg(test)]
mod document;
#[cfg(test)]
mod installment_plan;
#[cfg(test)]
mod invoice;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod numbers;
#[cfg(test)]
mod payment;
#[cfg(test)]
mod practice;
#[cfg(test)]
mod report;
#[cfg(test)]
mod settings;
