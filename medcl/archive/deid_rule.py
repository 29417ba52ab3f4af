"""What rules of de-identification are made of: a pattern, and the words by which a name is told from other words."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

Gate = Callable[[str], object]
"""Whether a rule can find anything in a text: quicker than to look for it."""

DIGIT: Gate = re.compile(r"\d").search
_LETTERS = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Rule:
    """A pattern, and which part of what it matches is replaced.

    Args:
        kind: what the group `found` of the pattern is, such as NAME.
        pattern: with a group `found`.
        each: where the group is an enumeration: the pattern of its members, each of which is replaced by itself.
        only: the rule holds only for texts for which this is true, such as those with words of one language.
    """

    kind: str
    pattern: re.Pattern[str]
    each: re.Pattern[str] | None = None
    only: Gate | None = None

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Start and end of all that is replaced."""
        if self.only is not None and not self.only(text):
            return
        for match in self.pattern.finditer(text):
            if self.each is None:
                yield match.span("found")
            else:
                # Bounded by the group, but with the text around it in sight.
                yield from (member.span() for member in self.each.finditer(text, *match.span("found")) if member[0])


def has_words(words: Iterable[str]) -> Gate:
    """Whether a text has one of some words, or a part of one with a point or a hyphen inside; case is ignored."""
    wanted = frozenset(part for word in words for part in _LETTERS.findall(word.lower()))
    return lambda text: not wanted.isdisjoint(_words(text))


@lru_cache(maxsize=1)
def _words(text: str) -> frozenset[str]:
    return frozenset(_LETTERS.findall(text.lower()))


STOP = (
    # English
    *("MD", "DO", "RN", "PhD", "FRCR", "The", "There", "This", "These", "No", "None", "Not", "Normal", "Unknown"),
    *("Male", "Female", "Age", "Sex", "DOB", "Date", "Time", "MRN", "Findings", "FINDINGS", "Impression"),
    *("IMPRESSION", "Exam", "EXAM", "History", "HISTORY", "Comparison", "COMPARISON", "Technique", "TECHNIQUE"),
    *("Indication", "INDICATION", "Radiology", "Department", "Practitioner", "Is", "Was", "At", "On", "And", "Or"),
    *("Attending", "Resident", "Staff", "Radiologist", "Technologist", "Name", "Phone", "Signed", "Dictated", "OB"),
    *("GYN", "ER", "ED", "ICU", "CT", "MRI", "He", "She", "It", "We", "They", "Patient", "Pat", "Pt", "Doctor"),
    *("Safety", "Chart", "Care", "Education", "Information", "Instructions", "Status", "Type", "Class", "Location"),
    *("Transport", "Portal", "Comfort", "Motion", "Preparation", "Identification", "Identity", "Demographics", "Data"),
    *("Dose", "Weight", "Height", "Orientation", "Protocol", "Summary", "Call", "All"),
    *("Mother", "Father", "Wife", "Husband", "Family", "Also", "However", "Otherwise", "Who", "Position", "Consent"),
    # German
    *("Vorname", "Nachname", "Geb", "Geburtsdatum", "Befund", "Beurteilung", "Der", "Die", "Das", "Es", "Sie", "Er"),
    *("Kein", "Keine", "Kollege", "Kollegin", "Kollegen", "Doktor", "Dr", "Prof", "Patientin", "Weiblich"),
    *("Männlich", "Station", "Abteilung", "Datum", "Klinik", "Tel", "Fax", "Mit", "Im", "In", "Zur", "Links"),
    *("Rechts", "Mutter", "Vater", "Ehefrau", "Ehemann", "Frau", "Herr", "Angehörige", "Zustand", "Radiologie"),
    # French and Spanish
    *("Nom", "Prénom", "Patiente", "Née", "Né", "Le", "La", "Les", "Il", "Elle", "Pas", "Docteur", "Service"),
    *("Nombre", "Apellidos", "Apellido", "Paciente", "El", "Los", "Las", "Se", "Sin", "Radiología", "Fecha"),
)
"""No name begins with one of these, whatever announces it."""

PARTICLES = (
    *("van", "von", "vom", "de", "la", "le", "los", "las", "der", "den", "dem", "del", "della", "di", "da", "dos"),
    *("du", "des", "zu", "zum", "zur", "ter", "ten", "bin", "al", "el", "af", "ibn", "abu"),
    *("De", "La", "Le", "Von", "Van", "Du", "Di", "Da", "Del", "Al", "El"),
)
"""Small words within a name."""

TITLES = (
    # With a point, and without one; English, German, French, Spanish, Italian, Dutch.
    *(
        "Dr",
        "DR",
        "Drs",
        "Dres",
        "DRES",
        "Prof",
        "PROF",
        "Mrs",
        "MRS",
        "Mr",
        "Ms",
        "Hr",
        "Hrn",
        "Frl",
        "Priv.-Doz",
    ),
    *("Pr", "Mme", "Mlle", "Mmes", "Mlles", "Sr", "Sra", "Srta", "Sres", "Sras", "Dra", "Dras"),
    *("Dña", "Sig", "Sig.ra", "Dott", "Dott.ssa", "Prof.ssa", "Dhr", "Mevr", "Mw", "Messrs"),
    *("Miss", "Professor", "Professors", "Professorin", "Doctor", "Doctors", "doctor", "doctors", "Nurse", "nurse"),
    *("Herr", "Herrn", "Herren", "Frau", "Fräulein", "Familie", "Ehepaar", "Eheleute", "Kollege", "Kollegen"),
    *("Kollegin", "Kolleginnen", "OÄ", "Oberarzt", "Oberärztin", "Assistenzarzt", "Assistenzärztin"),
    *("Chefarzt", "Chefärztin", "Stationsarzt", "Stationsärztin", "Monsieur", "Messieurs", "Madame", "Mesdames"),
    *("Mademoiselle", "Docteur", "Docteurs", "docteur", "docteurs", "Docteure", "docteure", "Professeur"),
    *("professeur", "Señor", "Señora", "Señores", "Señorita", "señor", "señora", "Doctora", "doctora", "Doctores"),
    *("doctores", "Doctoras", "doctoras", "Don", "Doña", "Signor", "Signora", "Signorina", "dottor", "dottoressa"),
)
"""Before a name."""

PLURALS = (
    *("Drs", "Dres", "DRS", "DRES", "Doctors", "doctors", "Professors", "Messrs", "Herren", "Kollegen", "Kolleginnen"),
    *("Mmes", "Mlles", "Messieurs", "Mesdames", "Docteurs", "docteurs", "Sres", "Sras", "Señores", "Dras"),
    *("Doctores", "doctores", "Doctoras", "doctoras", "Residents", "residents"),
    *("Patients", "patients", "Patienten", "Patientinnen", "Pacientes", "pacientes"),
)
"""Before an enumeration of names."""

GIVEN = (
    # English
    *("James", "John", "Robert", "Michael", "William", "David", "Richard", "Joseph", "Thomas", "Charles", "Daniel"),
    *("Matthew", "Anthony", "Steven", "Andrew", "Kenneth", "Joshua", "Kevin", "Brian", "George", "Edward", "Ronald"),
    *("Timothy", "Jason", "Jeffrey", "Ryan", "Jacob", "Gary", "Nicholas", "Eric", "Jonathan", "Stephen", "Larry"),
    *("Scott", "Brandon", "Benjamin", "Samuel", "Gregory", "Patrick", "Alexander", "Jack", "Dennis", "Peter", "Tyler"),
    *("Henry", "Oliver", "Philip", "Walter", "Albert", "Arthur", "Harold", "Ralph", "Roger", "Simon", "Martin"),
    *("Mary", "Patricia", "Jennifer", "Linda", "Elizabeth", "Barbara", "Susan", "Jessica", "Sarah", "Karen", "Lisa"),
    *("Nancy", "Betty", "Margaret", "Sandra", "Ashley", "Kimberly", "Emily", "Donna", "Michelle", "Carol", "Amanda"),
    *("Dorothy", "Melissa", "Deborah", "Stephanie", "Rebecca", "Sharon", "Laura", "Cynthia", "Kathleen", "Amy"),
    *("Angela", "Shirley", "Anna", "Brenda", "Pamela", "Emma", "Nicole", "Helen", "Samantha", "Katherine", "Christine"),
    *("Rachel", "Carolyn", "Janet", "Catherine", "Heather", "Diane", "Ruth", "Julie", "Olivia", "Joyce", "Alice"),
    *("Doris", "Grace", "Judith", "Theresa", "Martha", "Jane", "Ann", "Anne", "Fiona", "Jasper", "Luke", "Adam"),
    # German
    *("Hans", "Peter", "Wolfgang", "Klaus", "Werner", "Jürgen", "Juergen", "Heinz", "Karl", "Günter", "Günther"),
    *("Helmut", "Gerhard", "Manfred", "Dieter", "Bernd", "Uwe", "Rainer", "Horst", "Herbert", "Franz", "Josef"),
    *("Andreas", "Stefan", "Christian", "Frank", "Matthias", "Markus", "Jan", "Jens", "Sven", "Florian", "Tobias"),
    *("Sebastian", "Johannes", "Lukas", "Jonas", "Felix", "Maximilian", "Heinrich", "Friedrich", "Ernst", "Otto"),
    *("Ursula", "Monika", "Petra", "Elisabeth", "Sabine", "Renate", "Helga", "Karin", "Brigitte", "Ingrid", "Erika"),
    *("Andrea", "Gisela", "Claudia", "Susanne", "Gabriele", "Christa", "Christina", "Hildegard", "Birgit", "Gerda"),
    *("Heike", "Silke", "Katrin", "Katharina", "Stefanie", "Anja", "Marianne", "Ilse", "Irmgard", "Edith", "Ilona"),
    *("Julia", "Lena", "Hannah", "Leonie", "Johanna", "Charlotte", "Friederike", "Annegret", "Waltraud", "Elke"),
    # French
    *("Jean", "Pierre", "Michel", "André", "Philippe", "René", "Louis", "Alain", "Jacques", "Bernard", "Marcel"),
    *("Daniel", "Roger", "Robert", "Claude", "Christophe", "Nicolas", "Frédéric", "Laurent", "Stéphane", "Olivier"),
    *("Pascal", "Julien", "François", "Guillaume", "Thierry", "Gérard", "Benoît", "Antoine", "Mathieu", "Luc", "Yves"),
    *("Marie", "Nathalie", "Isabelle", "Sylvie", "Catherine", "Françoise", "Valérie", "Martine", "Véronique"),
    *("Sandrine", "Monique", "Sophie", "Céline", "Chantal", "Aurélie", "Brigitte", "Hélène", "Claire", "Camille"),
    *("Élodie", "Chloé", "Manon", "Mathilde", "Geneviève", "Simone", "Jeanne", "Odile", "Florence"),
    # Spanish, Italian
    *("José", "Antonio", "Juan", "Manuel", "Francisco", "Luis", "Javier", "Miguel", "Carlos", "Jesús", "Alejandro"),
    *("Rafael", "Pedro", "Ángel", "Fernando", "Pablo", "Jorge", "Sergio", "Alberto", "Andrés", "Diego", "Ramón"),
    *("Enrique", "Vicente", "Álvaro", "Ernesto", "Roberto", "Eduardo", "Tomás", "Joaquín", "Ignacio", "Emilio"),
    *("María", "Carmen", "Josefa", "Dolores", "Pilar", "Teresa", "Rosario", "Ana", "Isabel", "Laura", "Cristina"),
    *("Marta", "Lucía", "Elena", "Raquel", "Beatriz", "Nuria", "Silvia", "Mercedes", "Concepción", "Montserrat"),
    *("Inés", "Alicia", "Esperanza", "Consuelo", "Rocío", "Paula", "Irene", "Giuseppe", "Giovanni", "Francesca"),
    *("Paolo", "Marco", "Lorenzo", "Chiara", "Giulia", "Alessandro", "Luca", "Matteo", "Piotr", "Ahmed", "Mohamed"),
    *("Mohammed", "Mustafa", "Mehmet", "Fatima", "Ayşe", "Ali", "Hassan", "Ibrahim", "Amir", "Wei", "Priya", "Olga"),
    *("Tatiana", "Svetlana", "Ivan", "Dmitri", "Vladimir"),
)
"""Frequent first names, which announce the family name beside them; first names that are also words are left out."""

EPONYMS = (
    # Two words of which the first is a first name, and which are no person.
    *("Ann Arbor", "Austin Flint", "Austin Moore", "Graham Steell", "Pierre Robin", "Pierre Marie", "Robert Jones"),
    *("Marie Tooth", "Robin Sequence", "Thomas Splint", "Thomas Test", "Charles Bonnet", "Jan Steen", "Ali Baba"),
    *("Jones Fracture", "Louis Bar", "Albert Einstein", "Santa Maria", "San Juan", "Karl Storz", "Johns Hopkins"),
)
"""What stays although it looks like a first and a family name."""

EPONYM_NOUNS = (
    *("sign", "syndrome", "disease", "murmur", "classification", "staging", "criteria", "prosthesis", "fracture"),
    *("procedure", "test", "score", "index", "line", "method", "formula", "catheter", "manoeuvre", "maneuver"),
    *("Syndrom", "Krankheit", "Klassifikation", "Zeichen", "Prothese", "Hospital", "Clinic", "Klinik", "University"),
)
"""Behind a name, these make it a term."""

DISEASES = (
    *("Addison", "Ahlbäck", "Alzheimer", "Baastrup", "Basedow", "Bechterew", "Behçet", "Best", "Binswanger", "Blount"),
    *("Boeck", "Bowen", "Castleman", "Coats", "Crohn", "Cushing", "Dupuytren", "Fabry", "Forestier", "Freiberg"),
    *("Gaucher", "Gilbert", "Haglund", "Hirschsprung", "Hodgkin", "Horton", "Huntington", "Kahler", "Kienböck"),
    *("Köhler", "Ledderhose", "Menière", "Meniere", "Ormond", "Osgood", "Osler", "Paget", "Panner", "Parkinson"),
    *("Perthes", "Pick", "Raynaud", "Recklinghausen", "Scheuermann", "Schlatter", "Sever", "Still", "Stargardt"),
    *("Sudeck", "Waldenström", "Werlhof", "Whipple", "Wilson", "Winiwarter"),
)
"""German writes `M. Crohn` for Morbus Crohn, and French `M. Dubois` for a man."""

EXAMS = (
    *("CHEST", "ABDOMEN", "PELVIS", "HEAD", "NECK", "THORAX", "SKULL", "BRAIN", "SPINE", "HIP", "KNEE", "HAND"),
    *("FOOT", "ANKLE", "WRIST", "SHOULDER", "ELBOW", "HEART", "LUNG", "LUNGS", "LIVER", "KIDNEY", "KIDNEYS", "LEFT"),
    *("RIGHT", "LATERAL", "FRONTAL", "AP", "PA", "VIEW", "VIEWS", "PORTABLE", "CONTRAST", "WITH", "WITHOUT", "CT"),
    *("MR", "MRI", "XR", "US", "ECG", "EKG", "EEG", "MILD", "MODERATE", "SEVERE", "NORMAL", "FINDINGS", "NO", "AORTA"),
    *("BONES", "CORONAL", "AXIAL", "SAGITTAL", "ARTERY", "VEIN", "MASS", "CYST", "FRACTURE", "STUDY", "REPORT"),
    *("KOPF", "HALS", "BAUCH", "BECKEN", "HERZ", "LUNGE", "LEBER", "CRANE", "TORAX", "ABDOMEN", "CRÁNEO", "PIE"),
)
"""In capitals these are no names."""

DEPARTMENTS = (
    *(
        "Surgery",
        "Cardiology",
        "Oncology",
        "Neurology",
        "Neurosurgery",
        "Orthopaedics",
        "Orthopedics",
        "Ortho",
        "Neuro",
    ),
    *("Urology", "Medicine", "Paediatrics", "Pediatrics", "Emergency", "Trauma", "Team", "Anaesthesia", "Anesthesia"),
    *("Vascular", "ENT", "Hepatology", "Gastroenterology", "Pulmonology", "Rheumatology", "Dermatology", "Psychiatry"),
    *("Gynaecology", "Gynecology", "Nephrology", "Haematology", "Hematology", "Infectious", "Intensive", "Palliative"),
    *("Interventional", "Primary", "Referring", "Ordering", "Internal", "General", "Clinical", "Thoracic", "Cardiac"),
    *("Endocrinology", "Pathology", "Nursing", "Obstetrics", "Ophthalmology", "Plastic", "Transplant", "Critical"),
)
"""With whom findings are discussed, too."""
