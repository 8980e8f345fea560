//! The events that the module `billing` writes to the outbox.

use clinicx_types::module::EventType;

macro_rules! events {
    ($($(#[$meta:meta])* $name:ident = $text:literal),+ $(,)?) => {
        $($(#[$meta])* pub const $name: EventType = EventType($text);)+
        /// Every event of the module.
        pub const ALL: &[EventType] = &[$($name),+];
    };
}

events! {
    /// An invoice was drafted.
    INVOICE_CREATED = "invoice.created",
    /// A draft was changed.
    INVOICE_UPDATED = "invoice.updated",
    /// A draft was declared entered in error.
    INVOICE_DISCARDED = "invoice.discarded",
    /// An invoice was issued: it has its number and never changes again.
    INVOICE_ISSUED = "invoice.issued",
    /// Nothing of an issued invoice is due any more.
    INVOICE_BALANCED = "invoice.balanced",
    /// Something of an invoice that was balanced is due again.
    INVOICE_REOPENED = "invoice.reopened",
    /// More or less of an issued invoice is paid or credited, and it stands as before.
    INVOICE_SETTLED = "invoice.settled",
    /// An invoice was cancelled.
    INVOICE_CANCELLED = "invoice.cancelled",
    /// Something of an invoice was credited.
    CREDIT_NOTE_ISSUED = "credit_note.issued",
    /// A payment was received.
    PAYMENT_RECEIVED = "payment.received",
    /// A payment that was under way has arrived.
    PAYMENT_COMPLETED = "payment.completed",
    /// A payment that was under way did not arrive.
    PAYMENT_FAILED = "payment.failed",
    /// A payment was voided.
    PAYMENT_VOIDED = "payment.voided",
    /// Money of a payment was allocated to invoices.
    PAYMENT_ALLOCATED = "payment.allocated",
    /// Money of a payment was taken off an invoice again.
    PAYMENT_RELEASED = "payment.released",
    /// Money of a payment was given back.
    PAYMENT_REFUNDED = "payment.refunded",
    /// What is given back of a payment was recorded.
    REFUND_CREATED = "refund.created",
    /// An invoice is paid in parts.
    INSTALLMENT_PLAN_CREATED = "installment_plan.created",
    /// An invoice is no longer paid in parts.
    INSTALLMENT_PLAN_CANCELLED = "installment_plan.cancelled",
    /// Something was done that can be billed.
    CHARGE_ITEM_CREATED = "charge_item.created",
    /// What was done stands on an invoice.
    CHARGE_ITEM_BILLED = "charge_item.billed",
    /// What was done stands on no invoice any more.
    CHARGE_ITEM_FREED = "charge_item.freed",
    /// What was to be billed was taken back.
    CHARGE_ITEM_WITHDRAWN = "charge_item.withdrawn",
    /// How the clinic bills was changed.
    BILLING_SETTINGS_UPDATED = "billing_settings.updated",
}
