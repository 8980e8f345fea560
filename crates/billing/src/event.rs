//! The events of the module `billing`.

use clinicx_types::module::EventType;

/// An invoice was drafted.
pub const INVOICE_CREATED: EventType = EventType("invoice.created");
/// An invoice was issued: it has its number and never changes again.
pub const INVOICE_ISSUED: EventType = EventType("invoice.issued");
/// An invoice was cancelled.
pub const INVOICE_CANCELLED: EventType = EventType("invoice.cancelled");
/// A payment was received.
pub const PAYMENT_RECEIVED: EventType = EventType("payment.received");
/// A payment was voided.
pub const PAYMENT_VOIDED: EventType = EventType("payment.voided");

/// Every event of the module.
pub const ALL: &[EventType] =
    &[INVOICE_CREATED, INVOICE_ISSUED, INVOICE_CANCELLED, PAYMENT_RECEIVED, PAYMENT_VOIDED];
