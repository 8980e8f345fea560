-- $1 is the clinic, $2 the number of its rows; what does not fit is at fixed places in the order of rows.
WITH doctors AS (
    INSERT INTO "Old Data"."Doctors" ("No", "TenantId", "Family", "Given", "Job")
    SELECT n, $1, (ARRAY['الحسن', 'O''Brien', 'Müller', 'Nguyễn', 'Çelik'])[n % 5 + 1], 'Dr ' || n,
           CASE WHEN n = 0 THEN 'boss' ELSE 'dentist,admin' END
    FROM generate_series(0, 5) AS n
    RETURNING "ID", "No"
),
rooms AS (
    INSERT INTO "Old Data"."Rooms" ("TenantId", title, kind, inside)
    SELECT $1, 'Room ' || n, CASE n WHEN 1 THEN 'S' WHEN 2 THEN '?' ELSE 'C' END, NULL
    FROM generate_series(1, 8) AS n
    RETURNING id, title
),
services AS (
    INSERT INTO "Old Data"."Services" ("TenantId", code, title, minutes, "tidy ""up""", price)
    SELECT $1, CASE WHEN n = 4 THEN 'S3' ELSE 'S' || n END, 'Service ' || n, 15 * n, 0, NULL
    FROM generate_series(1, 4) AS n
    RETURNING id, code, minutes
),
patients AS (
    INSERT INTO "Old Data"."Patients"
        ("TenantId", "No", "LastName", "FirstName", "Sex", "DOB", "Mobile", "E-Mail", "NationalNo", "Notes", "Guarantor",
         "Deleted", "CreatedAt")
    SELECT $1, n,
           CASE WHEN n % 97 = 3 THEN NULL WHEN n % 97 = 4 THEN '   '
                ELSE (ARRAY['الخطيب', 'ابراهيم', 'O''Neil', 'Størmer', 'Иванов', 'D"Arc\'])[n % 6 + 1] || ' ' || n END,
           CASE WHEN n % 211 = 5 THEN repeat('ا', 300) ELSE (ARRAY['فاطمة', 'Anna', 'Ōta'])[n % 3 + 1] END,
           CASE WHEN n % 101 = 6 THEN 'X' ELSE (ARRAY['M', 'F', NULL])[n % 3 + 1] END,
           CASE WHEN n % 199 = 7 THEN DATE '2999-01-01' ELSE DATE '1950-01-01' + n % 20000 END,
           CASE WHEN n % 103 = 8 THEN 'none' WHEN n % 7 = 0 THEN '' ELSE '0944 1' || lpad(n::text, 5, '0') END,
           CASE WHEN n % 149 = 9 THEN 'not an address' WHEN n % 5 = 0 THEN 'p' || n || '@Example.org' END,
           CASE WHEN n % 151 = 10 THEN 'N-1' ELSE 'N-' || n END,
           CASE WHEN n % 4 = 0 THEN 'Notes of ' || n END,
           CASE WHEN n % 50 = 11 THEN -1 END,
           n % 61 = 12,
           TIMESTAMPTZ '2020-01-01 08:00Z' + n * INTERVAL '1 minute'
    FROM generate_series(1, $2 * 4 / 10) AS n
    RETURNING "PatientID", "No", "Deleted"
)
INSERT INTO "Old Data"."Appointments"
    ("TenantId", "No", "PatientID", "DoctorID", "ServiceID", "RoomID", "Start", "Minutes", "State", "Why")
SELECT $1, n,
       CASE WHEN n % 53 = 1 THEN -1 ELSE p."PatientID" END,
       d."ID",
       CASE WHEN n % 3 = 0 THEN s.id END,
       CASE WHEN n % 4 = 0 THEN r.id END,
       CASE WHEN n % 131 = 2 THEN NULL
            -- Every 41st stands over the one before it with the same doctor.
            ELSE TIMESTAMP '2026-01-01 08:00' + (CASE WHEN n % 41 = 7 THEN n - 4 ELSE n END) * INTERVAL '2 hours' END,
       CASE WHEN n % 3 = 0 THEN NULL ELSE 30 END,
       CASE WHEN n % 89 = 3 THEN 'Weird' ELSE (ARRAY['Done', 'Booked', 'Cancelled'])[n % 3 + 1] END,
       CASE WHEN n % 2 = 0 THEN 'because of ' || n END
FROM generate_series(1, $2 - $2 * 4 / 10 - 18) AS n
LEFT JOIN patients AS p ON p."No" = n % ($2 * 4 / 10) + 1
LEFT JOIN doctors AS d ON d."No" = n % 4 + 1
LEFT JOIN services AS s ON s.code = 'S' || (n % 2 + 1)
LEFT JOIN rooms AS r ON r.title = 'Room ' || (n % 5 + 4)
