//! The layout of an invoice.

use clinicx_types::lang::Language;

use super::{
    DocumentError,
    sheet::{Align, MARGIN, Sheet, Style, WIDTH},
    text::isolated,
    words::{Words, words},
};
use crate::invoice::{Invoice, InvoiceStatus};

/// How far apart lines are.
const LINE: f32 = 13.0;
/// Where the columns of numbers end.
const QUANTITY: f32 = 340.0;
const PRICE: f32 = 410.0;
const RATE: f32 = 465.0;
const NET: f32 = WIDTH - MARGIN;
/// How wide a description may be.
const DESCRIPTION: f32 = 220.0;

/// Writes an invoice as PDF: the clinic's header, who pays, the lines, the table of taxes, what is due.
///
/// # Errors
/// [`DocumentError`], which no invoice leads to.
pub fn invoice(invoice: &Invoice, language: Language) -> Result<Vec<u8>, DocumentError> {
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
    sheet.advance(LINE);
    table(&mut sheet, invoice, words);
    totals(&mut sheet, invoice, words);
    let issuer = invoice.issuer.as_ref();
    for text in [invoice.note.as_deref(), issuer.and_then(|issuer| issuer.payment_details.as_deref())] {
        sheet.advance(LINE);
        for line in sheet.broken(text.unwrap_or_default(), WIDTH - 2.0 * MARGIN, Style::PLAIN) {
            sheet.text(MARGIN, Align::Start, &line, Style::PLAIN);
            sheet.advance(LINE);
        }
    }
    let title = title.replace(['\u{2066}', '\u{2069}'], "");
    sheet.finish(&title, words.page)
}

fn title(invoice: &Invoice, words: &Words) -> String {
    match (&invoice.number, invoice.status) {
        (Some(number), InvoiceStatus::Cancelled) => {
            format!("{} {} ({})", words.invoice, isolated(number), words.cancelled)
        }
        (Some(number), _) => format!("{} {}", words.invoice, isolated(number)),
        (None, _) => words.draft.to_owned(),
    }
}

/// Who the clinic is on the one side, who pays on the other.
fn header(sheet: &mut Sheet, invoice: &Invoice, words: &Words) {
    let top = sheet.y;
    if let Some(issuer) = &invoice.issuer {
        sheet.text(MARGIN, Align::Start, issuer.name.as_deref().unwrap_or_default(), Style::BOLD);
        sheet.advance(LINE);
        let tax_number =
            issuer.tax_number.as_ref().map(|number| format!("{}: {}", words.tax_number, isolated(number)));
        for text in [issuer.address.clone(), issuer.contact.clone(), tax_number].into_iter().flatten() {
            for line in sheet.broken(&text, 240.0, Style::PLAIN) {
                sheet.text(MARGIN, Align::Start, &line, Style::PLAIN);
                sheet.advance(LINE);
            }
        }
    }
    let below = sheet.y;
    sheet.y = top;
    if let Some(recipient) = &invoice.recipient {
        for (index, line) in std::iter::once(&recipient.name).chain(&recipient.address).enumerate() {
            let style = if index == 0 { Style::BOLD } else { Style::PLAIN };
            sheet.text(NET, Align::End, line, style);
            sheet.advance(LINE);
        }
    }
    sheet.y = below.max(sheet.y);
    sheet.advance(LINE * 2.0);
}

fn heading(sheet: &mut Sheet, words: &Words) {
    sheet.text(MARGIN, Align::Start, words.description, Style::BOLD);
    for (x, word) in
        [(QUANTITY, words.quantity), (PRICE, words.unit_price), (RATE, words.rate), (NET, words.net)]
    {
        sheet.text(x, Align::End, word, Style::BOLD);
    }
    sheet.advance(LINE + 3.0);
    sheet.rule();
    sheet.advance(3.0);
}

fn table(sheet: &mut Sheet, invoice: &Invoice, words: &Words) {
    heading(sheet, words);
    for line in &invoice.lines {
        for (x, text) in
            [(QUANTITY, &line.quantity), (PRICE, &line.unit_price), (RATE, &line.tax_rate), (NET, &line.net)]
        {
            sheet.text(x, Align::End, text, Style::PLAIN);
        }
        for text in sheet.broken(&line.description, DESCRIPTION, Style::PLAIN) {
            sheet.text(MARGIN, Align::Start, &text, Style::PLAIN);
            if sheet.advance(LINE) {
                heading(sheet, words);
            }
        }
    }
}

fn totals(sheet: &mut Sheet, invoice: &Invoice, words: &Words) {
    sheet.advance(3.0);
    sheet.rule();
    sheet.advance(3.0);
    let is_something = |amount: &str| amount.bytes().any(|digit| (b'1'..=b'9').contains(&digit));
    let mut rows = Vec::new();
    if is_something(&invoice.discount) {
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
        sheet.text(RATE - 40.0, Align::End, &label, style);
        sheet.text(NET, Align::End, &amount, style);
        sheet.advance(LINE);
    }
}
