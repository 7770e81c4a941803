"""The drugs of a seeded hospital: real generic names, made-up makers once the generic names run out."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice


@dataclass(frozen=True, slots=True)
class Medicine:
    """One formulary entry and the way it is given."""

    name: str
    generic_name: str
    strength: str
    form: str
    unit: str
    atc: str
    route: str
    controlled_schedule: int | None
    high_alert: bool


_TABLET, _CAPSULE, _VIAL, _AMPOULE, _SYRINGE, _PEN = (
    ("tablet", "tablet", "oral"),
    ("capsule", "capsule", "oral"),
    ("powder for injection", "vial", "intravenous"),
    ("solution for injection", "ampoule", "intravenous"),
    ("prefilled syringe", "syringe", "subcutaneous"),
    ("prefilled pen", "pen", "subcutaneous"),
)

# generic name, ATC code, form, strengths; then schedule and high alert where they apply.
_GENERICS: tuple[tuple[str, str, tuple[str, str, str], str, int | None, bool], ...] = (
    ("Acetylcysteine", "R05CB01", _AMPOULE, "300 mg/3 mL", None, False),
    ("Acyclovir", "J05AB01", _VIAL, "250 mg;500 mg", None, False),
    ("Allopurinol", "M04AA01", _TABLET, "100 mg;300 mg", None, False),
    ("Amiodarone", "C01BD01", _TABLET, "100 mg;200 mg", None, False),
    ("Amitriptyline", "N06AA09", _TABLET, "10 mg;25 mg;75 mg", None, False),
    ("Amlodipine", "C08CA01", _TABLET, "5 mg;10 mg", None, False),
    ("Amoxicillin", "J01CA04", _CAPSULE, "250 mg;500 mg", None, False),
    ("Ampicillin", "J01CA01", _VIAL, "500 mg;1 g;2 g", None, False),
    ("Apixaban", "B01AF02", _TABLET, "2.5 mg;5 mg", None, True),
    ("Atenolol", "C07AB03", _TABLET, "25 mg;50 mg;100 mg", None, False),
    ("Atorvastatin", "C10AA05", _TABLET, "10 mg;20 mg;40 mg;80 mg", None, False),
    ("Azithromycin", "J01FA10", _TABLET, "250 mg;500 mg", None, False),
    ("Bisoprolol", "C07AB07", _TABLET, "2.5 mg;5 mg;10 mg", None, False),
    ("Bumetanide", "C03CA02", _TABLET, "1 mg;2 mg", None, False),
    ("Candesartan", "C09CA06", _TABLET, "4 mg;8 mg;16 mg", None, False),
    ("Carbamazepine", "N03AF01", _TABLET, "100 mg;200 mg;400 mg", None, False),
    ("Carvedilol", "C07AG02", _TABLET, "6.25 mg;12.5 mg;25 mg", None, False),
    ("Cefazolin", "J01DB04", _VIAL, "1 g;2 g", None, False),
    ("Ceftriaxone", "J01DD04", _VIAL, "1 g;2 g", None, False),
    ("Cefuroxime", "J01DC02", _VIAL, "750 mg;1.5 g", None, False),
    ("Ciprofloxacin", "J01MA02", _TABLET, "250 mg;500 mg;750 mg", None, False),
    ("Citalopram", "N06AB04", _TABLET, "10 mg;20 mg;40 mg", None, False),
    ("Clindamycin", "J01FF01", _CAPSULE, "150 mg;300 mg", None, False),
    ("Clonazepam", "N03AE01", _TABLET, "0.5 mg;2 mg", 4, False),
    ("Clopidogrel", "B01AC04", _TABLET, "75 mg;300 mg", None, False),
    ("Dexamethasone", "H02AB02", _TABLET, "0.5 mg;4 mg;8 mg", None, False),
    ("Diazepam", "N05BA01", _TABLET, "2 mg;5 mg;10 mg", 4, False),
    ("Digoxin", "C01AA05", _TABLET, "0.125 mg;0.25 mg", None, True),
    ("Doxycycline", "J01AA02", _TABLET, "100 mg;200 mg", None, False),
    ("Enalapril", "C09AA02", _TABLET, "5 mg;10 mg;20 mg", None, False),
    ("Enoxaparin", "B01AB05", _SYRINGE, "20 mg;40 mg;60 mg;80 mg", None, True),
    ("Fentanyl", "N01AH01", _AMPOULE, "0.1 mg/2 mL;0.5 mg/10 mL", 2, True),
    ("Fluconazole", "J02AC01", _CAPSULE, "50 mg;150 mg;200 mg", None, False),
    ("Furosemide", "C03CA01", _TABLET, "20 mg;40 mg", None, False),
    ("Gabapentin", "N03AX12", _CAPSULE, "100 mg;300 mg;400 mg", None, False),
    ("Gentamicin", "J01GB03", _AMPOULE, "40 mg/1 mL;80 mg/2 mL", None, False),
    ("Haloperidol", "N05AD01", _TABLET, "1 mg;5 mg", None, False),
    ("Hydrochlorothiazide", "C03AA03", _TABLET, "12.5 mg;25 mg", None, False),
    ("Hydrocortisone", "H02AB09", _VIAL, "100 mg;250 mg", None, False),
    ("Hydromorphone", "N02AA03", _AMPOULE, "2 mg/1 mL;10 mg/1 mL", 2, True),
    ("Ibuprofen", "M01AE01", _TABLET, "200 mg;400 mg;600 mg", None, False),
    ("Insulin aspart", "A10AB05", _PEN, "100 units/mL", None, True),
    ("Insulin glargine", "A10AE04", _PEN, "100 units/mL;300 units/mL", None, True),
    ("Ketamine", "N01AX03", _AMPOULE, "50 mg/5 mL;500 mg/10 mL", 3, True),
    ("Lansoprazole", "A02BC03", _CAPSULE, "15 mg;30 mg", None, False),
    ("Levetiracetam", "N03AX14", _TABLET, "250 mg;500 mg;1 g", None, False),
    ("Levothyroxine", "H03AA01", _TABLET, "0.025 mg;0.05 mg;0.1 mg", None, False),
    ("Lisinopril", "C09AA03", _TABLET, "5 mg;10 mg;20 mg", None, False),
    ("Lorazepam", "N05BA06", _TABLET, "0.5 mg;1 mg;2.5 mg", 4, False),
    ("Losartan", "C09CA01", _TABLET, "50 mg;100 mg", None, False),
    ("Meropenem", "J01DH02", _VIAL, "500 mg;1 g", None, False),
    ("Metformin", "A10BA02", _TABLET, "500 mg;850 mg;1 g", None, False),
    ("Methylprednisolone", "H02AB04", _VIAL, "40 mg;125 mg;1 g", None, False),
    ("Metoclopramide", "A03FA01", _TABLET, "10 mg", None, False),
    ("Metoprolol", "C07AB02", _TABLET, "23.75 mg;47.5 mg;95 mg", None, False),
    ("Metronidazole", "J01XD01", _TABLET, "250 mg;400 mg", None, False),
    ("Midazolam", "N05CD08", _AMPOULE, "5 mg/5 mL;15 mg/3 mL", 4, True),
    ("Mirtazapine", "N06AX11", _TABLET, "15 mg;30 mg;45 mg", None, False),
    ("Morphine", "N02AA01", _AMPOULE, "10 mg/1 mL;20 mg/1 mL", 2, True),
    ("Naloxone", "V03AB15", _AMPOULE, "0.4 mg/1 mL", None, False),
    ("Norepinephrine", "C01CA03", _AMPOULE, "5 mg/5 mL;10 mg/10 mL", None, True),
    ("Omeprazole", "A02BC01", _CAPSULE, "10 mg;20 mg;40 mg", None, False),
    ("Ondansetron", "A04AA01", _TABLET, "4 mg;8 mg", None, False),
    ("Oxycodone", "N02AA05", _TABLET, "5 mg;10 mg;20 mg", 2, True),
    ("Pantoprazole", "A02BC02", _TABLET, "20 mg;40 mg", None, False),
    ("Paracetamol", "N02BE01", _TABLET, "500 mg;1 g", None, False),
    ("Prednisolone", "H02AB06", _TABLET, "5 mg;20 mg;50 mg", None, False),
    ("Pregabalin", "N03AX16", _CAPSULE, "25 mg;75 mg;150 mg", 5, False),
    ("Quetiapine", "N05AH04", _TABLET, "25 mg;100 mg;200 mg", None, False),
    ("Ramipril", "C09AA05", _TABLET, "2.5 mg;5 mg;10 mg", None, False),
    ("Risperidone", "N05AX08", _TABLET, "0.5 mg;1 mg;2 mg", None, False),
    ("Rivaroxaban", "B01AF01", _TABLET, "10 mg;15 mg;20 mg", None, True),
    ("Sertraline", "N06AB06", _TABLET, "50 mg;100 mg", None, False),
    ("Simvastatin", "C10AA01", _TABLET, "20 mg;40 mg", None, False),
    ("Spironolactone", "C03DA01", _TABLET, "25 mg;50 mg;100 mg", None, False),
    ("Tramadol", "N02AX02", _CAPSULE, "50 mg;100 mg", 4, False),
    ("Valproic acid", "N03AG01", _TABLET, "300 mg;500 mg", None, False),
    ("Vancomycin", "J01XA01", _VIAL, "500 mg;1 g", None, False),
    ("Warfarin", "B01AA03", _TABLET, "1 mg;3 mg;5 mg", None, True),
    ("Zolpidem", "N05CF02", _TABLET, "5 mg;10 mg", 4, False),
)
_STEMS = (
    "Alva",
    "Bero",
    "Cori",
    "Delta",
    "Elan",
    "Feno",
    "Gala",
    "Heli",
    "Ivo",
    "Juna",
    "Kera",
    "Lumi",
    "Mira",
    "Novo",
)
_ENDINGS = ("med", "pharm", "via", "genix", "cura", "lab", "sana", "thera", "vita")


def medicines(number: int) -> Iterator[Medicine]:
    """`number` entries, no two with the same name, strength and form."""
    return islice(_endless(), number)


def _endless() -> Iterator[Medicine]:
    for round_number in count():
        maker = _maker(round_number)
        for generic, atc, (form, unit, route), strengths, schedule, high_alert in _GENERICS:
            name = f"{generic} {maker}".strip()
            for strength in strengths.split(";"):
                yield Medicine(name, generic, strength, form, unit, atc, route, schedule, high_alert)


def _maker(number: int) -> str:
    """The maker of every drug of one round through the generic names; none for the first."""
    if number == 0:
        return ""
    rest, ending = divmod(number - 1, len(_ENDINGS))
    generation, stem = divmod(rest, len(_STEMS))
    return f"{_STEMS[stem]}{_ENDINGS[ending]}" + (f" {generation + 1}" if generation else "")
