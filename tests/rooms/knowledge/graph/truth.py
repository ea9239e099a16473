"""A small truth per language, written by hand for these tests: texts, the names in them, and the ties they state."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Truth:
    """A text; its names as `type: name, name` lines; its ties as (from, type, to)."""

    language: str
    text: str
    names: str
    ties: tuple[tuple[str, str, str], ...]

    def named(self) -> set[tuple[str, str]]:
        """(type, name) of every name."""
        found = set()
        for line in self.names.strip().splitlines():
            type, _, names = line.strip().partition(": ")
            found |= {(type, name.strip()) for name in names.split(",")}
        return found


TRUTHS = (
    Truth(
        "en",
        "The tenancy agreement was signed by Margaret Doyle and Thomas O'Brien in Dublin. Harbour Lights Ltd owns the "
        "warehouse, and Northern Grain plc has rented it since 2017. Dr. Helen Carter works for the University of Leeds. "
        "The Ministry of Transport is based in London. President Macron met Chancellor Scholz in Paris. The World Energy "
        "Summit took place in Vienna. Brightwater Holdings acquired Harbour Lights Ltd last year. The clerk wrote to the "
        "Court of Appeal. Robert Hayes is the chairman of Northern Grain plc.",
        """person: Margaret Doyle, Thomas O'Brien, Helen Carter, Macron, Scholz, Robert Hayes
        organisation: Harbour Lights Ltd, Northern Grain plc, University of Leeds, Ministry of Transport, Brightwater Holdings, Court of Appeal
        place: Dublin, London, Paris, Vienna
        event: World Energy Summit""",
        (
            ("Helen Carter", "works_for", "University of Leeds"),
            ("Ministry of Transport", "located_in", "London"),
            ("World Energy Summit", "happened_at", "Vienna"),
            ("Brightwater Holdings", "owns", "Harbour Lights Ltd"),
            ("Robert Hayes", "leads", "Northern Grain plc"),
        ),
    ),
    Truth(
        "de",
        "Der Mietvertrag wurde von Frau Sabine Krüger und Herrn Uwe Lindner in Leipzig unterschrieben. Die Nordlicht "
        "Speicher GmbH besitzt die Halle, und die Kornhaus AG hat ihren Sitz in Bremen. Dr. Petra Vogel arbeitet bei der "
        "Technischen Universität Dresden. Das Bundesamt für Sicherheit in der Informationstechnik überwacht die Kornhaus AG. "
        "Bundeskanzler Scholz traf Präsident Macron in Paris. Der Antrag wurde beim Landgericht Hamburg gestellt. Die "
        "Verwaltung prüft den Antrag. Thomas Reuter ist Geschäftsführer der Nordlicht Speicher GmbH.",
        """person: Sabine Krüger, Uwe Lindner, Petra Vogel, Scholz, Macron, Thomas Reuter
        organisation: Nordlicht Speicher GmbH, Kornhaus AG, Technischen Universität Dresden, Bundesamt für Sicherheit in der Informationstechnik, Landgericht Hamburg
        place: Leipzig, Bremen, Paris""",
        (
            ("Kornhaus AG", "located_in", "Bremen"),
            ("Petra Vogel", "works_for", "Technischen Universität Dresden"),
            ("Bundesamt für Sicherheit in der Informationstechnik", "supervises", "Kornhaus AG"),
            ("Thomas Reuter", "leads", "Nordlicht Speicher GmbH"),
        ),
    ),
    Truth(
        "fr",
        "Le bail a été signé par Mme Hélène Garnier et M. Luc Fontaine à Lyon. La société Lumières du Port SARL possède "
        "l'entrepôt, et Grains du Nord SA a son siège à Nantes. Le professeur Antoine Mercier travaille pour l'Université de "
        "Strasbourg. Le Conseil d'État a rejeté la requête. Le président Macron a rencontré le chancelier Scholz à Berlin. "
        "Le Ministère de la Culture est situé à Paris. Claire Besson dirige Grains du Nord SA. La commission a rendu son avis.",
        """person: Hélène Garnier, Luc Fontaine, Antoine Mercier, Macron, Scholz, Claire Besson
        organisation: Lumières du Port SARL, Grains du Nord SA, Université de Strasbourg, Conseil d'État, Ministère de la Culture
        place: Lyon, Nantes, Berlin, Paris""",
        (
            ("Grains du Nord SA", "located_in", "Nantes"),
            ("Antoine Mercier", "works_for", "Université de Strasbourg"),
            ("Ministère de la Culture", "located_in", "Paris"),
            ("Claire Besson", "leads", "Grains du Nord SA"),
        ),
    ),
    Truth(
        "es",
        "El contrato fue firmado por la Sra. Pilar Ortega y el Sr. Andrés Molina en Sevilla. Luces del Puerto S.L. posee el "
        "almacén, y Granos del Norte S.A. tiene su sede en Valencia. La profesora Elena Vidal trabaja para la Universidad de "
        "Salamanca. El Tribunal Supremo rechazó el recurso. El presidente Macron visitó Madrid. El Ministerio de Cultura está "
        "situado en Madrid. Carlos Ibáñez dirige Granos del Norte S.A. La comisión emitió su dictamen.",
        """person: Pilar Ortega, Andrés Molina, Elena Vidal, Macron, Carlos Ibáñez
        organisation: Luces del Puerto S.L., Granos del Norte S.A., Universidad de Salamanca, Tribunal Supremo, Ministerio de Cultura
        place: Sevilla, Valencia, Madrid""",
        (
            ("Granos del Norte S.A.", "located_in", "Valencia"),
            ("Elena Vidal", "works_for", "Universidad de Salamanca"),
            ("Ministerio de Cultura", "located_in", "Madrid"),
            ("Carlos Ibáñez", "leads", "Granos del Norte S.A."),
        ),
    ),
    Truth(
        "it",
        "Il contratto è stato firmato dalla Sig. Chiara Fontana e dal Sig. Paolo Greco a Torino. Luci del Porto S.r.l. "
        "possiede il magazzino, e Grani del Nord S.p.A. ha sede a Genova. Il professore Andrea Moretti lavora per "
        "l'Università di Bologna. La Corte di Cassazione ha respinto il ricorso. Il presidente Macron ha visitato Roma. Il "
        "Ministero della Cultura è situato a Roma. Luca Ferri dirige Grani del Nord S.p.A. La commissione ha dato il parere.",
        """person: Chiara Fontana, Paolo Greco, Andrea Moretti, Macron, Luca Ferri
        organisation: Luci del Porto S.r.l., Grani del Nord S.p.A., Università di Bologna, Corte di Cassazione, Ministero della Cultura
        place: Torino, Genova, Roma""",
        (
            ("Grani del Nord S.p.A.", "located_in", "Genova"),
            ("Andrea Moretti", "works_for", "Università di Bologna"),
            ("Ministero della Cultura", "located_in", "Roma"),
            ("Luca Ferri", "leads", "Grani del Nord S.p.A."),
        ),
    ),
    Truth(
        "nl",
        "Het huurcontract werd getekend door mevrouw Femke de Boer en de heer Pieter Bakker in Utrecht. Havenlicht B.V. bezit "
        "het pakhuis, en Noordergraan N.V. is gevestigd in Rotterdam. Professor Joost van den Berg werkt voor de Universiteit "
        "Leiden. De Hoge Raad verwierp het beroep. President Macron bezocht Den Haag. Het Ministerie van Financiën is gevestigd "
        "in Den Haag. Karin Mulder is directeur van Noordergraan N.V. De commissie gaf advies.",
        """person: Femke de Boer, Pieter Bakker, Joost van den Berg, Macron, Karin Mulder
        organisation: Havenlicht B.V., Noordergraan N.V., Universiteit Leiden, Hoge Raad, Ministerie van Financiën
        place: Utrecht, Rotterdam, Den Haag""",
        (
            ("Noordergraan N.V.", "located_in", "Rotterdam"),
            ("Joost van den Berg", "works_for", "Universiteit Leiden"),
            ("Ministerie van Financiën", "located_in", "Den Haag"),
            ("Karin Mulder", "leads", "Noordergraan N.V."),
        ),
    ),
    Truth(
        "pl",
        "Umowę najmu podpisali pani Barbara Lis i pan Tomasz Wrona w Krakowie. Światła Portu sp. z o.o. posiada magazyn, a "
        "Ziarno Północy S.A. ma siedzibę w Gdańsku. Profesor Ewa Mazur pracuje w Uniwersytet Jagielloński. Sąd Najwyższy "
        "oddalił skargę. Prezydent Macron odwiedził Polskę. Ministerstwo Finansów ma siedzibę w Warszawie. Marek Sowa kieruje "
        "Ziarno Północy S.A. Komisja wydała opinię.",
        """person: Barbara Lis, Tomasz Wrona, Ewa Mazur, Macron, Marek Sowa
        organisation: Światła Portu sp. z o.o., Ziarno Północy S.A., Uniwersytet Jagielloński, Sąd Najwyższy, Ministerstwo Finansów
        place: Krakowie, Gdańsku, Polskę, Warszawie""",
        (
            ("Ziarno Północy S.A.", "located_in", "Gdańsku"),
            ("Ewa Mazur", "works_for", "Uniwersytet Jagielloński"),
            ("Ministerstwo Finansów", "located_in", "Warszawie"),
            ("Marek Sowa", "leads", "Ziarno Północy S.A."),
        ),
    ),
)
