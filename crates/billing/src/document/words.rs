//! The words on an invoice, in every language that the service speaks.

use clinicx_types::lang::Language;

/// The words.
pub(super) struct Words {
    pub(super) invoice: &'static str,
    pub(super) draft: &'static str,
    pub(super) cancelled: &'static str,
    pub(super) discarded: &'static str,
    pub(super) issued_on: &'static str,
    pub(super) due_on: &'static str,
    pub(super) tax_number: &'static str,
    pub(super) description: &'static str,
    pub(super) quantity: &'static str,
    pub(super) unit_price: &'static str,
    pub(super) rate: &'static str,
    pub(super) net: &'static str,
    pub(super) tax: &'static str,
    pub(super) discount: &'static str,
    pub(super) subtotal: &'static str,
    pub(super) patient: &'static str,
    pub(super) gross: &'static str,
    pub(super) paid: &'static str,
    pub(super) credited: &'static str,
    pub(super) due: &'static str,
    pub(super) page: &'static str,
}

pub(super) fn words(language: Language) -> &'static Words {
    match language {
        Language::English => &ENGLISH,
        Language::German => &GERMAN,
        Language::Arabic => &ARABIC,
    }
}

const ENGLISH: Words = Words {
    invoice: "Invoice",
    draft: "Draft invoice",
    cancelled: "Cancelled",
    discarded: "entered in error",
    issued_on: "Date",
    due_on: "Due",
    tax_number: "Tax number",
    description: "Description",
    quantity: "Quantity",
    unit_price: "Price",
    rate: "Tax %",
    net: "Net",
    tax: "Tax",
    discount: "Discount",
    subtotal: "Subtotal",
    patient: "Patient",
    gross: "Total",
    paid: "Paid",
    credited: "Credited",
    due: "Amount due",
    page: "Page",
};

const GERMAN: Words = Words {
    invoice: "Rechnung",
    draft: "Rechnungsentwurf",
    cancelled: "Storniert",
    discarded: "irrtümlich erfasst",
    issued_on: "Datum",
    due_on: "Fällig am",
    tax_number: "Steuernummer",
    description: "Leistung",
    quantity: "Menge",
    unit_price: "Preis",
    rate: "Steuer %",
    net: "Netto",
    tax: "Steuer",
    discount: "Rabatt",
    subtotal: "Zwischensumme",
    patient: "Patient/in",
    gross: "Gesamt",
    paid: "Bezahlt",
    credited: "Gutgeschrieben",
    due: "Offener Betrag",
    page: "Seite",
};

const ARABIC: Words = Words {
    invoice: "فاتورة",
    draft: "مسودة فاتورة",
    cancelled: "ملغاة",
    discarded: "أُدخلت خطأً",
    issued_on: "التاريخ",
    due_on: "تاريخ الاستحقاق",
    tax_number: "الرقم الضريبي",
    description: "البيان",
    quantity: "الكمية",
    unit_price: "السعر",
    rate: "الضريبة %",
    net: "الصافي",
    tax: "الضريبة",
    discount: "الخصم",
    subtotal: "المجموع الفرعي",
    patient: "المريض",
    gross: "الإجمالي",
    paid: "المدفوع",
    credited: "المخصوم بإشعار",
    due: "المبلغ المستحق",
    page: "صفحة",
};
