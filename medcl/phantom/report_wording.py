"""How reports of synthetic patients are worded: several ways to say the same."""

ECG = {
    "en": {
        "normal": (
            "Sinus rhythm. Normal ECG.",
            "Normal sinus rhythm, no abnormality.",
            "Regular rhythm, normal tracing.",
        ),
        "st_elevation": (
            "Sinus rhythm. ST elevation consistent with acute myocardial infarction.",
            "ST segments are elevated, suspicious of acute infarction. Sinus rhythm.",
            "Acute injury pattern with ST elevation.",
        ),
        "bundle_branch_block": (
            "Sinus rhythm. Bundle branch block with broad QRS complexes.",
            "QRS is prolonged by a bundle branch block.",
            "Intraventricular conduction delay: bundle branch block.",
        ),
        "atrial_fibrillation": (
            "Atrial fibrillation, no P waves.",
            "Irregularly irregular rhythm without P waves: atrial fibrillation.",
            "Atrial fibrillation with an irregular ventricular response.",
        ),
    },
    "de": {
        "normal": ("Sinusrhythmus. Normales EKG.", "Regelmäßiger Sinusrhythmus, o.B.", "Unauffälliges EKG."),
        "st_elevation": (
            "Sinusrhythmus. ST-Hebung, V.a. akuten Myokardinfarkt.",
            "ST-Strecken angehoben, vereinbar mit einem akuten Infarkt.",
            "Akutes Infarktbild mit ST-Hebung.",
        ),
        "bundle_branch_block": (
            "Sinusrhythmus. Schenkelblock mit breitem QRS-Komplex.",
            "QRS verbreitert bei Schenkelblock.",
            "Intraventrikuläre Leitungsstörung: Schenkelblock.",
        ),
        "atrial_fibrillation": (
            "Vorhofflimmern ohne P-Wellen.",
            "Absolute Arrhythmie bei Vorhofflimmern.",
            "Vorhofflimmern mit unregelmäßiger Überleitung.",
        ),
    },
}
"""Diagnosis -> what the reader concludes."""

RATE = {"en": "Heart rate {rate} bpm.", "de": "Herzfrequenz ca. {rate}/min."}

LESIONS = {
    "none": ("No {place} mass.", "No focal lesion of the {organ}.", "The {organ} is clear of focal lesions."),
    "smooth": (
        "A smooth, well-defined mass of {size} cm in the {organ}.",
        "There is a {size} cm lesion of the {organ} with smooth margins.",
        "Well-circumscribed round lesion, approx. {size} cm, of the {organ}.",
    ),
    "spiculated": (
        "A spiculated mass of {size} cm in the {organ}.",
        "There is a {size} cm lesion of the {organ} with spiculated margins.",
        "Irregular, spiculated lesion, approx. {size} cm, of the {organ}.",
    ),
    "ring": (
        "A ring-enhancing lesion of {size} cm in the {organ}.",
        "There is a {size} cm lesion of the {organ} with a bright rim and a dark centre.",
        "Rim-enhancing lesion, approx. {size} cm, of the {organ}.",
    ),
}
"""Kind of lesion -> what is found."""

CONCLUSIONS = {
    "none": ("No focal lesion.", "Normal examination.", "No evidence of a tumor."),
    "smooth": ("Smooth mass, probably benign.", "Well-defined lesion; follow-up in 6 months.", "Likely benign mass."),
    "spiculated": (
        "Spiculated mass, suspicious of malignancy.",
        "Malignancy suspected; biopsy.",
        "Probable carcinoma.",
    ),
    "ring": ("Ring lesion: abscess or metastasis.", "Ring-enhancing lesion; abscess vs. tumor.", "Probable abscess."),
}

ORDINARY = {
    "chest": (
        "The heart is of normal size.",
        "No pleural effusion.",
        "The liver is unremarkable.",
        "No pneumothorax.",
        "The spine shows no fracture.",
    ),
    "head": (
        "The ventricles are of normal width.",
        "No midline shift.",
        "No hemorrhage.",
        "Grey and white matter are well differentiated.",
        "The skull is intact.",
    ),
}
"""What is also said, whatever the finding."""

PHYSICIANS = ("Nora Nobody", "Ned Noman", "Nick Nemo", "Nina Niemand")
