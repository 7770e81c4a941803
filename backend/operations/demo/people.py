"""The people of the sample hospitals. All made up."""

from dataclasses import dataclass

from backend.actor import Role

PASSWORD = "ward-demo-2026"  # noqa: S105 - published, and refused outside the demo
TOTP_SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"  # noqa: S105
DOMAIN = "riverside.example"


@dataclass(frozen=True)
class Person:
    """A member of staff of the demo and the wards they work on."""

    login: str
    name: str
    role: Role
    wards: tuple[str, ...]

    @property
    def email(self) -> str:
        """The address they sign in with."""
        return f"{self.login}@{DOMAIN}"


WARDS = ("3 West Medical", "4 East Surgical", "Intensive Care")
PHARMACY = "Central Pharmacy"

_DOCTORS = (
    "Ines Carvalho",
    "Tomasz Wilk",
    "Amara Nwosu",
    "Liv Haugen",
    "Rahul Deshpande",
    "Camille Perrin",
    "Yusuf Demir",
    "Hanna Lindqvist",
    "Marco Bellini",
    "Sofia Petrova",
)

STAFF = (
    Person("nurse", "Nora Bennett", Role.NURSE, WARDS[:2]),
    Person("nurse2", "Daniel Osei", Role.NURSE, (WARDS[0], WARDS[2])),
    Person("pharmacist", "Priya Raman", Role.PHARMACIST, (*WARDS, PHARMACY)),
    Person("doctor", "Elena Fischer", Role.DOCTOR, WARDS),
    *(Person(f"doctor{n}", name, Role.DOCTOR, WARDS) for n, name in enumerate(_DOCTORS, start=2)),
    Person("admin", "Martin Ashworth", Role.ADMIN, ()),
)

FAMILIES = (
    *("Abara", "Bergström", "Castellanos", "Delacroix", "Eriksen", "Fontaine", "Gallagher", "Haddad", "Ivanova"),
    *("Jankowski", "Kamara", "Lombardi", "Mbeki", "Novak", "Okafor", "Pereira", "Quispe", "Rossi", "Schneider"),
    *("Takahashi", "Ueda", "Varga", "Whitfield", "Xu", "Yilmaz", "Zimmermann"),
)
GIVEN = (
    *("Ada", "Bruno", "Clara", "David", "Elif", "Farid", "Grace", "Henrik", "Irena", "Jonas", "Kirsten", "Luis"),
    *("Maya", "Noah", "Olga", "Pablo", "Rosa", "Samuel", "Teresa", "Viktor"),
)
ALLERGIES = ("penicillin", "latex", "ibuprofen", "sulfonamides", "iodine contrast", "codeine")
