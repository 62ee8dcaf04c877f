"""The words of the pages, in English and French."""

from __future__ import annotations

from collections.abc import Mapping

LANGUAGES = ("en", "fr")

_WORDS: dict[str, tuple[str, str]] = {
    "skip": ("Skip to content", "Aller au contenu"),
    "place": ("Where you are", "Fil d’Ariane"),
    "server": ("FHIR R4 server", "Serveur FHIR R4"),
    "facts": ("Key facts", "En bref"),
    "narrative": ("Narrative", "Texte lisible"),
    "resource": ("Resource", "Ressource"),
    "json": ("JSON", "JSON"),
    "links": ("Links", "Liens"),
    "as_json": ("as JSON", "en JSON"),
    "as_xml": ("as XML", "en XML"),
    "history": ("All versions", "Toutes les versions"),
    "current": ("Current version", "Version courante"),
    "summary": ("Emergency summary", "Synthèse pour l’urgence"),
    "everything": ("Everything about this patient", "Tout sur ce patient"),
    "referring": ("What refers to it", "Ce qui y renvoie"),
    "type": ("Type", "Type"),
    "id": ("Identifier on this server", "Identifiant sur ce serveur"),
    "version": ("Version", "Version"),
    "updated": ("Last changed", "Dernière modification"),
    "profile": ("Profile", "Profil"),
    "tag": ("Tags", "Étiquettes"),
    "security": ("Security labels", "Étiquettes de sécurité"),
    "status": ("Status", "Statut"),
    "entries": ("Entries", "Entrées"),
    "total": ("In all", "Au total"),
    "shown": ("on this page", "sur cette page"),
    "none": ("Nothing was found.", "Aucun résultat."),
    "paging": ("Pages", "Pages"),
    "first": ("First page", "Première page"),
    "previous": ("Previous page", "Page précédente"),
    "next": ("Next page", "Page suivante"),
    "last": ("Last page", "Dernière page"),
    "self": ("This page", "Cette page"),
    "what": ("What", "Quoi"),
    "when": ("Changed", "Modifiée"),
    "how": ("How", "Comment"),
    "included": ("included", "incluse"),
    "outcome": ("Message", "Message"),
    "issues": ("What the server says", "Réponse du serveur"),
    "where": ("Where", "Où"),
    "fatal": ("fatal error", "erreur fatale"),
    "error": ("error", "erreur"),
    "warning": ("warning", "avertissement"),
    "information": ("information", "information"),
    "deleted": ("deleted", "supprimée"),
    "large": (
        "Too large to be shown here; read it",
        "Trop volumineux pour être affiché ici ; à lire",
    ),
    "welcome": ("A FHIR R4 (4.0.1) server", "Un serveur FHIR R4 (4.0.1)"),
    "held": ("What it holds", "Ce qu’il contient"),
    "all_types": ("All resource types", "Tous les types de ressources"),
    "capabilities": ("What this server can do", "Ce que sait faire ce serveur"),
    "all_history": ("Everything that happened", "Tout ce qui s’est passé"),
    "empty": ("Nothing is stored yet.", "Rien n’est encore enregistré."),
    "about": ("About", "Concerne"),
    "author": ("Author", "Auteur"),
    "confidentiality": ("Confidentiality", "Confidentialité"),
    "contents": ("Contents", "Sommaire"),
    "document_date": ("Date", "Date"),
    "section": ("Section", "Rubrique"),
    "searchset": ("Search results", "Résultats de recherche"),
    "history_title": ("Versions", "Versions"),
    "api": (
        "Every address of the API can be opened in a browser.",
        "Chaque adresse de l’API s’ouvre dans un navigateur.",
    ),
}

WORDS: dict[str, Mapping[str, str]] = {
    language: {name: texts[place] for name, texts in _WORDS.items()}
    for place, language in enumerate(LANGUAGES)
}


def language_of(accept_language: str) -> str:
    """`fr` or `en`, whichever an Accept-Language header prefers; English when neither."""
    best, quality = "en", 0.0
    for item in accept_language[:1000].split(","):
        tag, *parameters = item.strip().lower().split(";")
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.strip().partition("=")
            if name == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        primary = tag.strip().partition("-")[0]
        if primary in LANGUAGES and weight > quality:
            best, quality = primary, weight
    return best
