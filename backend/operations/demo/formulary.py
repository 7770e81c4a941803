"""The drugs of the sample hospitals: real generic names, made-up codes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Medicine:
    """A formulary entry of the demo and how one dose of it is ordered."""

    name: str
    strength: str
    form: str
    unit: str
    atc: str
    dose_text: str
    route: str
    units_per_dose: int = 1
    schedule: int | None = None
    high_alert: bool = False


# What a unit costs, made up by its kind.
PRICE_CENTS = {"tablet": 12, "capsule": 18, "vial": 640, "ampoule": 215, "syringe": 410, "inhaler": 950, "pen": 1_890}

ORAL, IV, SC = "oral", "intravenous", "subcutaneous"

MEDICINES = (
    Medicine("Acetylsalicylic acid", "100 mg", "tablet", "tablet", "B01AC06", "100 mg", ORAL),
    Medicine("Amiodarone", "200 mg", "tablet", "tablet", "C01BD01", "200 mg", ORAL),
    Medicine("Amlodipine", "5 mg", "tablet", "tablet", "C08CA01", "5 mg", ORAL),
    Medicine("Amoxicillin", "500 mg", "capsule", "capsule", "J01CA04", "1 g", ORAL, 2),
    Medicine("Atorvastatin", "40 mg", "tablet", "tablet", "C10AA05", "40 mg", ORAL),
    Medicine("Bisoprolol", "5 mg", "tablet", "tablet", "C07AB07", "5 mg", ORAL),
    Medicine("Cefazolin", "1 g", "vial", "vial", "J01DB04", "2 g", IV, 2),
    Medicine("Ceftriaxone", "1 g", "vial", "vial", "J01DD04", "2 g", IV, 2),
    Medicine("Clopidogrel", "75 mg", "tablet", "tablet", "B01AC04", "75 mg", ORAL),
    Medicine("Dexamethasone", "4 mg", "tablet", "tablet", "H02AB02", "8 mg", ORAL, 2),
    Medicine("Enoxaparin", "40 mg", "prefilled syringe", "syringe", "B01AB05", "40 mg", SC, high_alert=True),
    Medicine("Fentanyl", "0.1 mg/2 mL", "ampoule", "ampoule", "N01AH01", "0.1 mg", IV, 1, 2, True),
    Medicine("Furosemide", "40 mg", "tablet", "tablet", "C03CA01", "40 mg", ORAL),
    Medicine("Heparin", "25 000 IU/5 mL", "vial", "vial", "B01AB01", "25 000 IU", IV, high_alert=True),
    Medicine("Ibuprofen", "400 mg", "tablet", "tablet", "M01AE01", "400 mg", ORAL),
    Medicine("Insulin glargine", "100 units/mL", "pen", "pen", "A10AE04", "1 pen", SC, high_alert=True),
    Medicine("Insulin lispro", "100 units/mL", "pen", "pen", "A10AB04", "1 pen", SC, high_alert=True),
    Medicine("Levothyroxine", "0.1 mg", "tablet", "tablet", "H03AA01", "0.1 mg", ORAL),
    Medicine("Lisinopril", "10 mg", "tablet", "tablet", "C09AA03", "10 mg", ORAL),
    Medicine("Lorazepam", "1 mg", "tablet", "tablet", "N05BA06", "1 mg", ORAL, 1, 4),
    Medicine("Meropenem", "1 g", "vial", "vial", "J01DH02", "1 g", IV),
    Medicine("Metformin", "850 mg", "tablet", "tablet", "A10BA02", "850 mg", ORAL),
    Medicine("Metoclopramide", "10 mg", "tablet", "tablet", "A03FA01", "10 mg", ORAL),
    Medicine("Metoprolol succinate", "47.5 mg", "tablet", "tablet", "C07AB02", "95 mg", ORAL, 2),
    Medicine("Morphine", "10 mg/mL", "ampoule", "ampoule", "N02AA01", "10 mg", IV, 1, 2, True),
    Medicine("Norepinephrine", "1 mg/mL", "ampoule", "ampoule", "C01CA03", "1 mg", IV, high_alert=True),
    Medicine("Ondansetron", "4 mg", "tablet", "tablet", "A04AA01", "4 mg", ORAL),
    Medicine("Oxycodone", "5 mg", "tablet", "tablet", "N02AA05", "5 mg", ORAL, 1, 2, True),
    Medicine("Pantoprazole", "40 mg", "tablet", "tablet", "A02BC02", "40 mg", ORAL),
    Medicine("Paracetamol", "500 mg", "tablet", "tablet", "N02BE01", "1 g", ORAL, 2),
    Medicine("Piperacillin/tazobactam", "4 g/0.5 g", "vial", "vial", "J01CR05", "4.5 g", IV),
    Medicine("Potassium chloride", "20 mmol/10 mL", "ampoule", "ampoule", "A12BA01", "20 mmol", IV, high_alert=True),
    Medicine("Prednisolone", "20 mg", "tablet", "tablet", "H02AB06", "40 mg", ORAL, 2),
    Medicine("Ramipril", "5 mg", "tablet", "tablet", "C09AA05", "5 mg", ORAL),
    Medicine("Salbutamol", "0.1 mg/dose", "inhaler", "inhaler", "R03AC02", "1 inhaler", "inhalation"),
    Medicine("Sertraline", "50 mg", "tablet", "tablet", "N06AB06", "50 mg", ORAL),
    Medicine("Spironolactone", "25 mg", "tablet", "tablet", "C03DA01", "25 mg", ORAL),
    Medicine("Tramadol", "50 mg", "capsule", "capsule", "N02AX02", "50 mg", ORAL, 1, 4),
    Medicine("Vancomycin", "1 g", "vial", "vial", "J01XA01", "1 g", IV),
    Medicine("Warfarin", "5 mg", "tablet", "tablet", "B01AA03", "5 mg", ORAL, high_alert=True),
)
