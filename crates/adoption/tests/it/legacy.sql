CREATE SCHEMA "Old Data" AUTHORIZATION {owner};
SET ROLE {owner};

CREATE TABLE "Old Data"."Doctors" (
    "ID" uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "No" int NOT NULL,
    "TenantId" varchar(50),
    "Family" text,
    "Given" text,
    "Job" text
);
CREATE TABLE "Old Data"."Rooms" (id serial PRIMARY KEY, "TenantId" varchar(50), title text, kind char(1), inside int);
CREATE TABLE "Old Data"."Services" (
    id serial PRIMARY KEY, "TenantId" varchar(50), code text, title text, minutes int, "tidy ""up""" int, price money
);
CREATE TABLE "Old Data"."Patients" (
    "PatientID" bigserial PRIMARY KEY,
    "TenantId" varchar(50),
    "No" int NOT NULL,
    "LastName" text,
    "FirstName" varchar(400),
    "Sex" char(1),
    "DOB" date,
    "Mobile" text,
    "E-Mail" text,
    "NationalNo" text,
    "Notes" text,
    "Guarantor" int,
    "Deleted" boolean NOT NULL DEFAULT false,
    "CreatedAt" timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON "Old Data"."Patients" ("TenantId");
CREATE TABLE "Old Data"."Appointments" (
    "Id" bigserial PRIMARY KEY,
    "TenantId" varchar(50),
    "No" int NOT NULL,
    "PatientID" bigint,
    "DoctorID" uuid,
    "ServiceID" int,
    "RoomID" int,
    "Start" timestamp,
    "Minutes" int,
    "State" text,
    "Why" text
);
CREATE INDEX ON "Old Data"."Appointments" ("TenantId");
RESET ROLE;
