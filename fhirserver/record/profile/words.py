"""The French words of a summary."""

from __future__ import annotations

WORDS = {
    "yes": "oui",
    "no": "non",
    "deceased": "décédé(e)",
    "born": "Date de naissance",
    "died": "Décès",
    "sex": "Sexe",
    "name": "Nom",
    "identifier": "Identifiant",
    "contact": "Personne à prévenir",
    "made": "Établie le",
    "by": "Établie automatiquement par",
    "cut": "Seuls les éléments les plus récents figurent ici.",
    "withheld": "Cette rubrique est hors de portée des droits du demandeur.",
    "partial": "La synthèse contient ce que le demandeur a le droit de voir.",
}

STATUSES = {
    # clinical and verification status
    "active": "actif",
    "recurrence": "récidive",
    "relapse": "rechute",
    "inactive": "inactif",
    "remission": "en rémission",
    "resolved": "résolu",
    "confirmed": "confirmé",
    "unconfirmed": "non confirmé",
    "provisional": "provisoire",
    "differential": "diagnostic différentiel",
    "presumed": "présumé",
    # criticality
    "low": "faible",
    "high": "élevée",
    "unable-to-assess": "non évaluable",
    # status of what was ordered, done or observed
    "intended": "prévu",
    "on-hold": "suspendu",
    "completed": "terminé",
    "in-progress": "en cours",
    "unknown": "inconnu",
    "preliminary": "préliminaire",
    "registered": "enregistré",
    "partial": "partiel",
    "final": "définitif",
    "amended": "modifié",
    "corrected": "corrigé",
    "appended": "complété",
    # administrative gender
    "male": "masculin",
    "female": "féminin",
    "other": "autre",
}
