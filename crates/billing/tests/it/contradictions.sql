-- Every contradiction between what is kept as a sum and what the rows say; none is right.
WITH allocated AS (
    SELECT invoice_id, sum(amount) AS amount FROM payment_allocations GROUP BY invoice_id
), spent AS (
    SELECT payment_id, sum(amount) AS amount FROM payment_allocations GROUP BY payment_id
), pairs AS (
    SELECT payment_id, invoice_id, sum(amount) AS amount FROM payment_allocations GROUP BY payment_id, invoice_id
), credited AS (
    SELECT invoice_id, sum(gross) AS amount FROM credit_notes GROUP BY invoice_id
), refunded AS (
    SELECT payment_id, sum(amount) AS amount FROM refunds GROUP BY payment_id
), replayed AS (
    SELECT account_id, sum(amount) AS amount
    FROM (
        SELECT account_id, gross AS amount FROM invoices WHERE number IS NOT NULL
        UNION ALL
        SELECT account_id, -(gross - credited) FROM invoices WHERE status = 'cancelled'
        UNION ALL
        SELECT account_id, -gross FROM credit_notes
        UNION ALL
        SELECT account_id, -amount FROM payments WHERE status IN ('completed', 'voided')
        UNION ALL
        SELECT account_id, amount FROM payments WHERE status = 'voided'
        UNION ALL
        SELECT account_id, amount FROM refunds
    ) AS moved
    GROUP BY account_id
), balances AS (
    SELECT a.id,
           COALESCE((SELECT sum(l.amount) FROM ledger_entries AS l WHERE l.account_id = a.id), 0) AS balance,
           COALESCE((SELECT r.amount FROM replayed AS r WHERE r.account_id = a.id), 0) AS replay,
           COALESCE((SELECT sum(i.gross - i.allocated - i.credited) FROM invoices AS i
                     WHERE i.account_id = a.id AND i.status IN ('issued', 'balanced')), 0) AS open,
           COALESCE((SELECT sum(p.amount - p.allocated - p.refunded) FROM payments AS p
                     WHERE p.account_id = a.id AND p.status = 'completed'), 0) AS credit
    FROM accounts AS a
)
SELECT 'balance of ' || id || ': ' || balance || ', replayed ' || replay || ', open ' || open
       || ', credit ' || credit AS what
FROM balances
WHERE balance <> replay OR balance <> open - credit
UNION ALL
SELECT 'allocated on ' || i.id FROM invoices AS i LEFT JOIN allocated AS s ON s.invoice_id = i.id
WHERE i.allocated <> COALESCE(s.amount, 0)
UNION ALL
SELECT 'credited of ' || i.id FROM invoices AS i LEFT JOIN credited AS s ON s.invoice_id = i.id
WHERE i.credited <> COALESCE(s.amount, 0)
UNION ALL
SELECT 'allocated of ' || p.id FROM payments AS p LEFT JOIN spent AS s ON s.payment_id = p.id
WHERE p.allocated <> COALESCE(s.amount, 0)
UNION ALL
SELECT 'refunded of ' || p.id FROM payments AS p LEFT JOIN refunded AS s ON s.payment_id = p.id
WHERE p.refunded <> COALESCE(s.amount, 0)
UNION ALL
SELECT 'less than nothing of ' || payment_id || ' on ' || invoice_id FROM pairs WHERE amount < 0
UNION ALL
SELECT 'currency of ' || l.id FROM ledger_entries AS l JOIN accounts AS a ON a.id = l.account_id
WHERE l.currency <> a.currency
UNION ALL
SELECT 'lines of ' || i.id FROM invoices AS i
WHERE i.net <> COALESCE((SELECT sum(l.net) FROM invoice_lines AS l WHERE l.invoice_id = i.id), 0)
   OR i.tax <> COALESCE((SELECT sum(t.tax) FROM invoice_taxes AS t WHERE t.invoice_id = i.id), 0)
UNION ALL
SELECT 'notes of ' || i.id FROM invoices AS i
WHERE i.credited <> COALESCE((SELECT sum(l.credited_net) FROM invoice_lines AS l WHERE l.invoice_id = i.id), 0)
                    + COALESCE((SELECT sum(t.credited_tax) FROM invoice_taxes AS t WHERE t.invoice_id = i.id), 0)
