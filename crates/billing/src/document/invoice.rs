//! The layout of an invoice.

use clinicx_types::lang::Language;
use rust_decimal::Decimal;

use super::{
    DocumentError,
    sheet::{Align, MARGIN, Sheet, Style, WIDTH},
    text::{isolated, on_its_own},
    words::{Words, words},
};
use crate::invoice::{Invoice, InvoiceStatus};

/// How far apart lines are.
const LINE: f32 = 13.0;
/// Where the column of nets ends.
const NET: f32 = WIDTH - MARGIN;
/// Where labels of sums end.
const LABEL: f32 = 425.0;

/// How wide what the clinic says of itself may be, and who pays beside it.
const HALF: f32 = 235.0;
/// What stays free between two columns.
const GAP: f32 = 12.0;

/// Where the other columns of numbers end, and how wide a description may be: each is as wide as its widest number.
struct Columns {
    quantity: f32,
    price: f32,
    /// None when nothing is taken off a line.
    discount: Option<f32>,
    rate: f32,
    description: f32,
}

impl Columns {
    /// What is left for descriptions even beside numbers of all the digits that there can be.
    const NARROWEST: f32 = 80.0;

    fn of(sheet: &Sheet, invoice: &Invoice, words: &Words) -> Self {
        let lines = &invoice.lines;
        let widest = |word: &str, texts: &mut dyn Iterator<Item = &str>| {
            let widths = texts.map(|text| sheet.width(text, Style::PLAIN));
            widths.fold(sheet.width(word, Style::BOLD), f32::max) + GAP
        };
        let nets: Vec<String> = lines.iter().map(|line| together(&line.net, &line.header_discount)).collect();
        let rate = NET - widest(words.net, &mut nets.iter().map(String::as_str));
        let next = rate - widest(words.rate, &mut lines.iter().map(|line| line.tax_rate.as_str()));
        let is_discounted = lines.iter().any(|line| is_something(&line.discount));
        let discount = is_discounted.then_some(next);
        let price = match discount {
            Some(end) => end - widest(words.discount, &mut lines.iter().map(|line| line.discount.as_str())),
            None => next,
        };
        let quantity =
            price - widest(words.unit_price, &mut lines.iter().map(|line| line.unit_price.as_str()));
        let end = quantity - widest(words.quantity, &mut lines.iter().map(|line| line.quantity.as_str()));
        Self { quantity, price, discount, rate, description: (end - MARGIN).max(Self::NARROWEST) }
    }
}

/// Writes an invoice as PDF: the clinic's header, who pays and for whom, the lines before the discount on the whole and
/// the days on which they were done, the table of taxes, what is due. It keeps a processor busy and waits for nothing.
///
/// # Errors
/// [`DocumentError`], which no invoice leads to.
pub fn invoice(invoice: &Invoice, language: Language) -> Result<Vec<u8>, DocumentError> {
    let words = words(language);
    let title = title(invoice, words).replace(['\u{2066}', '\u{2069}'], "");
    laid_out(invoice, language)?.finish(&title, words.page)
}

fn laid_out(invoice: &Invoice, language: Language) -> Result<Sheet, DocumentError> {
    let words = words(language);
    let mut sheet = Sheet::new(language == Language::Arabic)?;
    let title = title(invoice, words);
    header(&mut sheet, invoice, words);
    sheet.text(MARGIN, Align::Start, &title, Style::TITLE);
    sheet.advance(LINE * 2.0);
    let days = [(words.issued_on, invoice.issued_on), (words.due_on, invoice.due_on)];
    for (word, day) in days {
        if let Some(day) = day {
            sheet.text(MARGIN, Align::Start, &format!("{word}: {}", isolated(day)), Style::PLAIN);
            sheet.advance(LINE);
        }
    }
    if let Some(name) = invoice.recipient.as_ref().and_then(|recipient| recipient.patient_name.as_deref()) {
        let text = format!("{}: {}", words.patient, on_its_own(name));
        for line in sheet.broken(&text, WIDTH - 2.0 * MARGIN, Style::PLAIN) {
            sheet.text(MARGIN, Align::Start, &line, Style::PLAIN);
            sheet.advance(LINE);
        }
    }
    sheet.advance(LINE);
    table(&mut sheet, invoice, words);
    totals(&mut sheet, invoice, words);
    let issuer = invoice.issuer.as_ref();
    for text in [invoice.note.as_deref(), issuer.and_then(|issuer| issuer.payment_details.as_deref())] {
        sheet.advance(LINE);
        let text = text.unwrap_or_default();
        written(&mut sheet, (MARGIN, Align::Start), text, (WIDTH - 2.0 * MARGIN, Style::PLAIN));
    }
    Ok(sheet)
}

fn title(invoice: &Invoice, words: &Words) -> String {
    match (&invoice.number, invoice.status) {
        (Some(number), InvoiceStatus::Cancelled) => {
            format!("{} {} ({})", words.invoice, isolated(number), words.cancelled)
        }
        (Some(number), _) => format!("{} {}", words.invoice, isolated(number)),
        (None, InvoiceStatus::EnteredInError) => format!("{} ({})", words.draft, words.discarded),
        (None, _) => words.draft.to_owned(),
    }
}

/// Who the clinic is on the one side, who pays on the other.
fn header(sheet: &mut Sheet, invoice: &Invoice, words: &Words) {
    let top = sheet.y;
    if let Some(issuer) = &invoice.issuer {
        let start = (MARGIN, Align::Start);
        written(sheet, start, issuer.name.as_deref().unwrap_or_default(), (HALF, Style::BOLD));
        for text in [&issuer.address, &issuer.contact].into_iter().flatten() {
            written(sheet, start, text, (HALF, Style::PLAIN));
        }
        if let Some(number) = &issuer.tax_number {
            let text = format!("{}: {}", words.tax_number, isolated(number));
            for line in sheet.broken(&text, HALF, Style::PLAIN) {
                sheet.text(MARGIN, Align::Start, &line, Style::PLAIN);
                sheet.advance(LINE);
            }
        }
    }
    let below = sheet.y;
    sheet.y = top;
    if let Some(recipient) = &invoice.recipient {
        written(sheet, (NET, Align::End), &recipient.name, (HALF, Style::BOLD));
        for line in &recipient.address {
            written(sheet, (NET, Align::End), line, (HALF, Style::PLAIN));
        }
    }
    sheet.y = below.max(sheet.y);
    sheet.advance(LINE * 2.0);
}

/// Writes what people wrote, on as many lines as its width asks for, each in its own direction.
fn written(sheet: &mut Sheet, (x, align): (f32, Align), text: &str, (width, style): (f32, Style)) {
    for line in sheet.broken(text, width, style) {
        sheet.text(x, align, &on_its_own(line), style);
        sheet.advance(LINE);
    }
}

fn heading(sheet: &mut Sheet, columns: &Columns, words: &Words) {
    sheet.text(MARGIN, Align::Start, words.description, Style::BOLD);
    let numbers = [
        (Some(columns.quantity), words.quantity),
        (Some(columns.price), words.unit_price),
        (columns.discount, words.discount),
        (Some(columns.rate), words.rate),
        (Some(NET), words.net),
    ];
    for (x, word) in numbers {
        if let Some(x) = x {
            sheet.text(x, Align::End, word, Style::BOLD);
        }
    }
    sheet.advance(LINE + 3.0);
    sheet.rule();
    sheet.advance(3.0);
}

/// Each line with its net before the discount on the whole, which stands below.
fn table(sheet: &mut Sheet, invoice: &Invoice, words: &Words) {
    let columns = &Columns::of(sheet, invoice, words);
    heading(sheet, columns, words);
    for line in &invoice.lines {
        let numbers = [
            (Some(columns.quantity), &line.quantity),
            (Some(columns.price), &line.unit_price),
            (columns.discount, &line.discount),
            (Some(columns.rate), &line.tax_rate),
            (Some(NET), &together(&line.net, &line.header_discount)),
        ];
        for (x, text) in numbers {
            if let Some(x) = x {
                sheet.text(x, Align::End, text, Style::PLAIN);
            }
        }
        let description = match line.performed_on {
            Some(day) => format!("{} {}", isolated(day), line.description),
            None => line.description.clone(),
        };
        for text in sheet.broken(&description, columns.description, Style::PLAIN) {
            sheet.text(MARGIN, Align::Start, &on_its_own(text), Style::PLAIN);
            if sheet.advance(LINE) {
                heading(sheet, columns, words);
            }
        }
    }
}

/// Adds two amounts of one currency.
fn together(one: &str, other: &str) -> String {
    match (one.parse::<Decimal>(), other.parse::<Decimal>()) {
        (Ok(one), Ok(other)) => (one + other).to_string(),
        _ => one.to_owned(),
    }
}

fn is_something(amount: &str) -> bool {
    amount.bytes().any(|digit| (b'1'..=b'9').contains(&digit))
}

fn totals(sheet: &mut Sheet, invoice: &Invoice, words: &Words) {
    sheet.advance(3.0);
    sheet.rule();
    sheet.advance(3.0);
    let mut rows = Vec::new();
    if is_something(&invoice.discount) {
        let subtotal = together(&invoice.net, &invoice.discount);
        rows.push((words.subtotal.to_owned(), subtotal, Style::PLAIN));
        rows.push((words.discount.to_owned(), isolated(format!("-{}", invoice.discount)), Style::PLAIN));
    }
    rows.push((words.net.to_owned(), invoice.net.clone(), Style::PLAIN));
    for tax in &invoice.taxes {
        let label = format!("{} {} % ({})", words.tax, tax.rate, tax.net);
        rows.push((label, tax.tax.clone(), Style::PLAIN));
    }
    rows.push((format!("{} {}", words.gross, invoice.currency), invoice.gross.clone(), Style::BOLD));
    for (word, amount) in [(words.paid, &invoice.allocated), (words.credited, &invoice.credited)] {
        if is_something(amount) {
            rows.push((word.to_owned(), amount.clone(), Style::PLAIN));
        }
    }
    rows.push((words.due.to_owned(), invoice.due.clone(), Style::BOLD));
    for (label, amount, style) in rows {
        sheet.text(LABEL, Align::End, &label, style);
        sheet.text(NET, Align::End, &amount, style);
        sheet.advance(LINE);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        InvoiceId,
        invoice::{InvoiceLine, Recipient},
    };

    fn line(description: &str, discount: &str, header: &str, net: &str) -> InvoiceLine {
        InvoiceLine {
            id: crate::InvoiceLineId::new(uuid::Uuid::nil()),
            description: description.to_owned(),
            quantity: "1".to_owned(),
            unit_price: "80.00".to_owned(),
            discount: discount.to_owned(),
            discount_percent: None,
            header_discount: header.to_owned(),
            net: net.to_owned(),
            tax_rate: "0".to_owned(),
            charge_item_id: None,
            performed_on: Some("2026-05-30".parse().unwrap()),
            staff_id: None,
            service_id: None,
            code: None,
            credited_quantity: "0".to_owned(),
        }
    }

    fn bill(lines: Vec<InvoiceLine>, discount: &str, net: &str) -> Invoice {
        let at = "2026-06-01T07:00:00Z".parse().unwrap();
        let payer = clinicx_core::PatientId::new(uuid::Uuid::nil());
        let issuer = json!({ "name": "Praxis", "contact": "+963 11 2310000", "address": "10115 Berlin",
            "tax_number": null, "payment_details": "IBAN DE02 1203" });
        Invoice {
            id: InvoiceId::new(uuid::Uuid::nil()),
            version: 2,
            created_at: at,
            updated_at: at,
            number: Some("INV-2026-00001".to_owned()),
            status: InvoiceStatus::Issued,
            patient_id: payer,
            account_id: crate::AccountId::new(uuid::Uuid::nil()),
            currency: "EUR".to_owned(),
            lines,
            taxes: Vec::new(),
            discount: discount.to_owned(),
            discount_percent: None,
            net: net.to_owned(),
            tax: "0.00".to_owned(),
            gross: net.to_owned(),
            allocated: "0.00".to_owned(),
            credited: "0.00".to_owned(),
            due: net.to_owned(),
            partly_paid: false,
            overdue: false,
            issued_at: Some(at),
            issued_on: None,
            due_on: None,
            cancelled_at: None,
            cancellation_reason: None,
            issuer: serde_json::from_value(issuer).unwrap(),
            recipient: Some(Recipient {
                patient_id: payer,
                name: "Layla Haddad".to_owned(),
                address: vec!["12 Main Street".to_owned()],
                patient_name: Some("Sami Haddad".to_owned()),
            }),
            note: None,
        }
    }

    #[test]
    fn lines_stand_before_the_discount_on_the_whole() {
        let lines = vec![line("Filling", "10.00", "7.00", "63.00"), line("Visit", "0.00", "8.00", "72.00")];
        let texts = laid_out(&bill(lines, "15.00", "135.00"), Language::English).unwrap().texts();
        for text in
            ["Patient: Sami Haddad", "10.00", "70.00", "2026-05-30 Filling", "80.00", "2026-05-30 Visit"]
        {
            assert!(texts.iter().any(|one| one == text), "{text}: {texts:?}");
        }
        for (label, amount) in [("Subtotal", "150.00"), ("Discount", "-15.00"), ("Net", "135.00")] {
            let last = texts.iter().rposition(|text| text == label).unwrap();
            assert_eq!(texts[last + 1], amount, "{texts:?}");
        }
        assert!(!texts.iter().any(|text| text == "63.00" || text == "72.00"), "{texts:?}");
    }

    #[test]
    fn nothing_runs_over_something_else_or_off_the_page() {
        let long =
            "Donaudampfschiffahrtselektrizitaetenhauptbetriebswerkbauunterbeamtengesellschaft".repeat(2);
        let arabic = "مستشفى".repeat(25);
        let mut lines = vec![line(&long, "10.00", "0.00", "70.00"), line(&arabic, "0.00", "0.00", "80.00")];
        lines[1].unit_price = "123456789012.34".to_owned();
        lines[1].net = "123456789012.34".to_owned();
        let mut bill = bill(lines, "0.00", "123456789082.34");
        bill.note = Some(format!("https://clinic.example/{long}"));
        bill.issuer = serde_json::from_value(json!({ "name": long, "address": arabic, "contact": long,
            "tax_number": "9".repeat(50), "payment_details": long }))
        .unwrap();
        let recipient = bill.recipient.as_mut().unwrap();
        recipient.name = "Layla Maria ".repeat(12);
        recipient.address = vec![long.clone(), "12 Main Street ".repeat(9)];
        recipient.patient_name = Some(long);
        for language in [Language::English, Language::German, Language::Arabic] {
            let sheet = laid_out(&bill, language).unwrap();
            let mut all = sheet.extents();
            if let Ok(folder) = std::env::var("CLINICX_KEEP_DOCUMENTS") {
                let path = format!("{folder}/long-{}.pdf", language.tag());
                std::fs::write(path, sheet.finish("long", "Page").unwrap()).unwrap();
            }
            assert!(all.len() > 40);
            for (page, y, left, right, text) in &all {
                assert!(*left >= MARGIN - 0.1 && *right <= NET + 0.1, "{page} {y} {left} {right} {text}");
            }
            all.retain(|one| one.2 < one.3);
            all.sort_by(|one, other| (one.0, one.1).cmp(&(other.0, other.1)).then(one.2.total_cmp(&other.2)));
            for pair in all.windows(2) {
                let is_one_line = (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1);
                assert!(!is_one_line || pair[0].3 + GAP / 2.0 <= pair[1].2, "{pair:?}");
            }
        }
    }

    #[test]
    fn what_was_discarded_says_so() {
        let mut discarded = bill(vec![line("Visit", "0.00", "0.00", "80.00")], "0.00", "80.00");
        (discarded.number, discarded.status) = (None, InvoiceStatus::EnteredInError);
        let texts = laid_out(&discarded, Language::German).unwrap().texts();
        assert!(texts.iter().any(|text| text == "Rechnungsentwurf (irrtümlich erfasst)"), "{texts:?}");
    }

    #[test]
    fn without_a_discount_there_is_no_column_and_no_subtotal() {
        let lines = vec![line("Visit", "0.00", "0.00", "80.00")];
        let texts = laid_out(&bill(lines, "0.00", "80.00"), Language::English).unwrap().texts();
        assert!(!texts.iter().any(|text| text == "Discount" || text == "Subtotal"), "{texts:?}");
    }

    #[test]
    fn what_is_written_from_left_to_right_stays_so_on_an_arabic_sheet() {
        let lines = vec![line("Filling 36 MO", "0.00", "0.00", "80.00")];
        let texts = laid_out(&bill(lines, "0.00", "80.00"), Language::Arabic).unwrap().texts();
        let whole = [
            "+963 11 2310000",
            "10115 Berlin",
            "12 Main Street",
            "IBAN DE02 1203",
            "2026-05-30 Filling 36 MO",
        ];
        for text in whole {
            assert!(texts.iter().any(|one| one == text), "{text}: {texts:?}");
        }
    }
}
