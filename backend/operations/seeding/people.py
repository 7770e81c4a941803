"""Wards, staff and patients of a seeded hospital. All made up."""

from datetime import date, timedelta

from backend.actor import Role

STAFF = (
    (Role.NURSE, "Nadia Brandt"),
    (Role.PHARMACIST, "Peter Oduya"),
    (Role.DOCTOR, "Dana Reinholt"),
    (Role.ADMIN, "Alex Moravec"),
)

_WARDS = (
    *("Medical", "Surgical", "Intensive Care", "Cardiology", "Oncology", "Neurology", "Orthopaedics", "Paediatrics"),
    *("Nephrology", "Pulmonology", "Gastroenterology", "Maternity", "Geriatrics", "Urology", "Haematology", "Stroke"),
)
# 61 and 47 names share no factor, so that 2,867 patients in a row have different names.
_FAMILIES = (
    *("Abara", "Bergmann", "Castellan", "Delorme", "Eriksson", "Fontaine", "Gallagher", "Haddad", "Ivanova", "Jansen"),
    *("Kamara", "Lombardi", "Mbeki", "Novak", "Okafor", "Pereira", "Quispe", "Rossi", "Schneider", "Takeda", "Ueda"),
    *("Varga", "Whitfield", "Xander", "Yilmaz", "Zimmer", "Almeida", "Bianchi", "Chowdhury", "Dimitrov", "Escobar"),
    *("Farkas", "Goswami", "Horvat", "Ishida", "Jokinen", "Kowalska", "Larsen", "Moreau", "Nilsson", "Ortega"),
    *("Petrov", "Rahman", "Santos", "Tanaka", "Usman", "Vogel", "Weiss", "Yamada", "Zhang", "Andrade", "Becker"),
    *("Costa", "Dubois", "Fischer", "Greco", "Hansen", "Keller", "Lindgren", "Marino", "Nowak"),
)
_GIVEN = (
    *("Ada", "Bruno", "Clara", "David", "Elif", "Farid", "Grace", "Henrik", "Irena", "Jonas", "Kirsten", "Luis"),
    *("Maya", "Noah", "Olga", "Pablo", "Rosa", "Samuel", "Teresa", "Viktor", "Wanda", "Yara", "Zeno", "Anton"),
    *("Beata", "Carlos", "Dilara", "Emil", "Fatima", "Georg", "Hana", "Ismail", "Julia", "Karim", "Lena", "Marek"),
    *("Nina", "Oscar", "Paula", "Rafael", "Sara", "Tomas", "Ursula", "Vera", "Willem", "Xenia", "Yusuf"),
)
_OLDEST = date(1932, 1, 1)
_BIRTHDAYS = 33_000
_ALLERGIES = ("{}", "{}", "{}", "{Penicillin}", "{}", "{}", "{Latex}", "{}", "{}", '{Sulfonamides,"Iodine contrast"}')


def ward_name(number: int) -> str:
    """The name of ward `number`, from 0; never twice."""
    block, kind = divmod(number, len(_WARDS))
    return f"{_WARDS[kind]} {block + 1}" if block else _WARDS[kind]


def patient_name(number: int) -> str:
    """ "Family, Given" of patient `number`."""
    return f"{_FAMILIES[number % len(_FAMILIES)]}, {_GIVEN[number % len(_GIVEN)]}"


def birthday(number: int) -> date:
    """The date of birth of patient `number`."""
    return _OLDEST + timedelta(days=number * 7_919 % _BIRTHDAYS)


def bed(number: int) -> str:
    """The bed of the ward's patient `number`: four to a room."""
    return f"{number // 4 + 1}-{'ABCD'[number % 4]}"


def allergies(number: int) -> str:
    """The allergies of patient `number` as an array literal."""
    return _ALLERGIES[number % len(_ALLERGIES)]
